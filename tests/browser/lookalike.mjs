// A Salesforce org made of somebody else's OpenID Connect server (npm's oidc-provider), so that the gateway
// meets a provider whose mistakes are not ours. The shapes are Salesforce's: its endpoint paths, RS256 keys
// with numbers for ids, `sub` as an identity address, PKCE, a client secret in the form.
//
// It listens on loopback only. Alone: `node lookalike.mjs` prints where.

import { generateKeyPair } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

import Provider from "oidc-provider";

export const ORGANIZATION = "00D5g00000ABCDEEA5";
export const FOREIGN_ORGANIZATION = "00D5g00000ABCDFEA5";

// Who can sign in: at the provider's own page one types a `sub` and any password.
export const people = {
  ada: person(ORGANIZATION, "0055g00000AbCdEAAV", "ada.lovelace@acme.example", "Ada Lovelace"),
  mallory: person(FOREIGN_ORGANIZATION, "0055g00000AbCdFAAV", "mallory@elsewhere.example", "Mallory Foreign"),
};

function person(organization, user, username, name) {
  return {
    sub: `https://login.salesforce.com/id/${organization}/${user}`,
    organization_id: organization,
    user_id: user,
    preferred_username: username,
    name,
    email: username,
    email_verified: true,
    user_type: "STANDARD",
  };
}

/** Salesforce puts `at_hash` into every ID token; here it comes only where OpenID Connect demands it. */
function sendAccessTokenHash(provider) {
  const { IdToken } = provider;
  const { payload } = IdToken.prototype;
  IdToken.prototype.payload = async function () {
    const claims = await payload.call(this);
    const token = this.ctx?.oidc.entities.AccessToken;
    // The server hashes it; an opaque token's text is its id.
    return token ? { ...claims, at_hash: token.jti } : claims;
  };
}

/** Starts the org for one app; `requests` collects what its endpoints were asked, in order. */
export async function startLookalike({ clientId, clientSecret, callback }) {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: "jwk" }), kid: "262", use: "sig", alg: "RS256" };
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [callback],
        token_endpoint_auth_method: "client_secret_post",
      },
    ],
    jwks: { keys: [key] },
    cookies: { keys: ["a key of the look-alike alone"] },
    claims: {
      openid: ["sub", "organization_id", "user_id"],
      profile: ["name", "preferred_username", "user_type"],
      email: ["email", "email_verified"],
    },
    pkce: { required: () => true },
    routes: {
      authorization: "/services/oauth2/authorize",
      token: "/services/oauth2/token",
      userinfo: "/services/oauth2/userinfo",
      jwks: "/id/keys",
    },
    findAccount(_, accountId) {
      const found = Object.values(people).find(({ sub }) => sub === accountId);
      return found && { accountId, claims: async () => ({ ...found }) };
    },
  });
  sendAccessTokenHash(provider);
  const requests = [];
  const broken = new Set();
  const answer = provider.callback();
  server.on("request", (request, response) => {
    const { pathname } = new URL(request.url, issuer);
    requests.push(`${request.method} ${pathname}`);
    if (broken.has(pathname)) {
      request.socket.destroy();
    } else {
      answer(request, response);
    }
  });
  return {
    issuer,
    requests,
    /** From now on this endpoint hangs up on everybody. */
    breakDown: (path) => broken.add(path),
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const callback = process.argv[2] ?? "http://localhost:8080/.portcullis/callback";
  const org = await startLookalike({ clientId: "lookalike", clientSecret: "no secret at all", callback });
  console.log(`org = "${org.issuer}", client_id = "lookalike", client_secret = "no secret at all"`);
}
