// A certified OpenID Connect provider for the tests. It accepts any user name and password.
// Arguments: path of the `oidc-provider` module, port, client ID, client secret and redirect URI.

import { pathToFileURL } from "node:url";

const [module, port, clientId, clientSecret, redirectUri] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(module));

const GROUPS = { sofia: ["contact-center-supervisors"] };

// "localhost" and the app's "127.0.0.1" are different sites, as the provider and
// the app are in production.
const provider = new Provider(`http://localhost:${port}`, {
  clients: [
    { client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri] },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
  scopes: ["openid", "email", "groups"],
  cookies: { keys: ["a key for the tests"] },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id}@example.com`,
      email_verified: id !== "mallory",
      groups: GROUPS[id] ?? [],
    }),
  }),
});

provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
