// A Salesforce org made of somebody else's SAML identity provider (npm's samlp, with its own XML signatures), so
// that the gateway meets one whose mistakes are not ours. What it says is what Salesforce says: userId of 15
// characters, username, email, is_portal_user.

import { once } from "node:events";
import { createServer } from "node:http";
import { promisify } from "node:util";

import samlp from "samlp";
import SessionParticipants from "samlp/lib/sessionParticipants/index.js";

export const ADA = {
  userId: "0055g00000AbCdE",
  username: "ada.lovelace@acme.example",
  email: "ada@acme.example",
  is_portal_user: "false",
};

const LOGOUT = "/services/auth/idp/saml2/logout";
const ENDPOINT = /^\/idp\/endpoint\/Http(Redirect|Post)$/;
const parse = promisify(samlp.parseRequest);
const respond = promisify(samlp.getSamlResponse);

const profile = (person) => ({
  getClaims: () => person,
  getNameIdentifier: () => ({ nameIdentifier: person.username }),
});

/** What samlp's handlers expect of a web framework. */
function framed(response) {
  return Object.assign(response, {
    set: (name, value) => response.setHeader(name, value),
    send: (page) => response.end(typeof page === "number" ? "<p>Signed out everywhere</p>" : page),
    redirect: (location) => response.writeHead(302, { location }).end(),
  });
}

/** Keeps what a handler wants to find again when the browser comes back. */
function memory() {
  const kept = new Map();
  return {
    save(_, state, done) {
      const handle = `state-${kept.size}`;
      kept.set(handle, state);
      done(null, handle);
    },
    load(_, handle, options, done = options) {
      const state = kept.get(handle);
      if (options?.destroy) kept.delete(handle);
      done(null, state);
    },
    update(_, handle, state, done) {
      kept.set(handle, state);
      done(null, handle);
    },
  };
}

/**
 * Starts it; `key` and `cert` are what it signs with, `sign` which of both it signs. `encryption` goes to samlp as it
 * is. `logout` says who takes part in single logout: its certificate, its address, and how it is spoken to.
 */
export async function startSamlp({ key, cert, sign = { signAssertion: true, signResponse: false }, encryption, logout }) {
  const requests = [];
  const participants = new SessionParticipants();
  const server = createServer((request, response) => {
    response.setHeader("content-type", "text/html; charset=utf-8");
    answer(request, response).then(
      (page) => page !== undefined && response.end(page),
      (problem) => response.writeHead(500).end(String(problem)),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${server.address().port}`;

  const sessions = samlp.logout({
    issuer,
    key,
    cert,
    deflate: true,
    protocolBinding: logout?.binding,
    sessionParticipants: participants,
    store: memory(),
  });

  async function answer(request, response) {
    const address = new URL(request.url, issuer);
    if (!ENDPOINT.test(address.pathname) && address.pathname !== LOGOUT) return "";
    let body = "";
    for await (const part of request.setEncoding("utf8")) body += part;
    const query = Object.fromEntries(address.searchParams);
    const form = Object.fromEntries(new URLSearchParams(body));
    if (address.pathname === LOGOUT) {
      return new Promise((_, fail) => sessions(Object.assign(request, { query, body: form }), framed(response), fail));
    }
    const fields = { ...query, ...form };
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
        sessionIndex: logout && "_session-of-ada",
        ...encryption,
      },
      ADA,
    );
    if (logout) {
      participants._participants.push({
        serviceProviderId: asked.issuer,
        sessionIndex: "_session-of-ada",
        nameId: ADA.username,
        nameIdFormat: "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
        serviceProviderLogoutURL: logout.url,
        cert: logout.cert,
      });
    }
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
    logout: issuer + LOGOUT,
    requests,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
