// A Salesforce org made of somebody else's SAML identity provider (npm's samlp, with its own XML signatures), so
// that the gateway meets one whose mistakes are not ours. What it says is what Salesforce says: userId of 15
// characters, username, email, is_portal_user.

import { once } from "node:events";
import { createServer } from "node:http";
import { promisify } from "node:util";

import samlp from "samlp";

export const ADA = {
  userId: "0055g00000AbCdE",
  username: "ada.lovelace@acme.example",
  email: "ada@acme.example",
  is_portal_user: "false",
};

const ENDPOINT = /^\/idp\/endpoint\/Http(Redirect|Post)$/;
const parse = promisify(samlp.parseRequest);
const respond = promisify(samlp.getSamlResponse);

const profile = (person) => ({
  getClaims: () => person,
  getNameIdentifier: () => ({ nameIdentifier: person.username }),
});

/** Starts it; `key` and `cert` are what it signs with, `sign` which of both it signs. */
export async function startSamlp({ key, cert, sign = { signAssertion: true, signResponse: false } }) {
  const requests = [];
  const server = createServer((request, response) => {
    answer(request).then(
      (page) => response.setHeader("content-type", "text/html; charset=utf-8").end(page),
      (problem) => response.writeHead(500).end(String(problem)),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${server.address().port}`;

  async function answer(request) {
    const address = new URL(request.url, issuer);
    if (!ENDPOINT.test(address.pathname)) return "";
    let body = "";
    for await (const part of request.setEncoding("utf8")) body += part;
    const query = Object.fromEntries(address.searchParams);
    const fields = { ...query, ...Object.fromEntries(new URLSearchParams(body)) };
    const asked = await parse({ method: request.method, query, body: fields });
    requests.push(asked);
    const saml = await respond(
      {
        issuer,
        key,
        cert,
        ...sign,
        signatureAlgorithm: "rsa-sha256",
        digestAlgorithm: "sha256",
        audience: asked.issuer,
        recipient: asked.assertionConsumerServiceURL,
        destination: asked.assertionConsumerServiceURL,
        inResponseTo: asked.id,
        lifetimeInSeconds: 300,
        nameIdentifierFormat: "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
        authnContextClassRef: "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified",
        typedAttributes: false,
        profileMapper: profile,
      },
      ADA,
    );
    const state = fields.RelayState.replace(/&/g, "&amp;").replace(/"/g, "&quot;");
    return (
      `<!doctype html><html lang="en"><title>samlp</title><link rel="icon" href="data:,">` +
      `<form method="post" action="${asked.assertionConsumerServiceURL}">` +
      `<input type="hidden" name="SAMLResponse" value="${Buffer.from(saml).toString("base64")}">` +
      `<input type="hidden" name="RelayState" value="${state}"><button>Sign in as Ada</button></form>`
    );
  }

  return {
    issuer,
    requests,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
