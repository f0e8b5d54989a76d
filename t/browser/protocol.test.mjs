// The protocol with a provider that is not ours: one row is one client, registered at oidc-provider and configured in nginx,
// and one login in a browser. The password is typed once. The provider's log of a client must match the row, so that no row
// passes by another method than its own.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { freePorts, startDemo } from './demo.mjs';
import { makeCertificates, makeKeys } from './keys.mjs';
import { allow, heading, launchBrowser, newPage, type } from './user.mjs';

// Contains every character that a form, a header or a URL could misread; long enough for HMAC.
const SECRET = 'correct horse+battery/staple=100%25 & more: than ~32; <characters>';
const CLIENT_NAME = 'client.example.com';
const PICTURE = 'https://example.com/alice.png';

// fact      the fact that the row shows
// nginx     additional directives of the oidc_provider block; @PROVIDER@, @TLS@, @MUTUAL@ are addresses
// client    additional client metadata
// secret    false: no secret
// key       file of the private key; its public key is registered
// certificate  name of the client's certificate
// tls       the provider over TLS
// offers    additional metadata, which nginx fetches from another server
// by, mode, pushed, idToken, userinfo   expected in the provider's log
// status, error   the login is refused at the callback
const ROWS = [
  // --- client authentication
  {
    fact: 'client_secret_basic, form-urlencoded first',
    nginx: 'client_auth client_secret_basic;', by: 'client_secret_basic',
  },
  {
    fact: 'client_secret_post',
    nginx: 'client_auth client_secret_post;', client: { token_endpoint_auth_method: 'client_secret_post' }, by: 'client_secret_post',
  },
  {
    fact: 'client_secret_post by default if nothing else is offered',
    client: { token_endpoint_auth_method: 'client_secret_post' }, offers: { token_endpoint_auth_methods_supported: ['client_secret_post'] },
    by: 'client_secret_post',
  },
  {
    fact: 'client_secret_jwt',
    nginx: 'client_auth client_secret_jwt;', client: { token_endpoint_auth_method: 'client_secret_jwt' }, by: 'client_secret_jwt HS256',
  },
  privateKeyJwt('an RSA key as PEM', 'rsa.pem', 'RS256'),
  privateKeyJwt('an RSA key as JWK', 'rsa.jwk', 'RS256'),
  {
    ...privateKeyJwt('an RSA key and PS256 if nothing else is offered', 'rsa.pem', 'PS256'),
    offers: { token_endpoint_auth_methods_supported: ['private_key_jwt'], token_endpoint_auth_signing_alg_values_supported: ['PS256'] },
  },
  privateKeyJwt('a P-256 key as JWK', 'p256.jwk', 'ES256'),
  privateKeyJwt('a P-256 key as PEM', 'p256.pem', 'ES256'),
  privateKeyJwt('a P-384 key as PEM', 'p384.pem', 'ES384'),
  privateKeyJwt('a P-521 key as JWK', 'p521.jwk', 'ES512'),
  privateKeyJwt('an Ed25519 key as PEM', 'ed25519.pem', 'EdDSA'),
  privateKeyJwt('an Ed25519 key as JWK', 'ed25519.jwk', 'EdDSA'),
  { ...privateKeyJwt('a key and no secret, by default', 'p256.pem', 'ES256'), nginx: '' },
  {
    fact: 'none, a public client with PKCE',
    nginx: 'client_auth none;', client: { token_endpoint_auth_method: 'none' }, secret: false, by: 'none',
  },
  {
    fact: 'none by default, without configured credentials',
    client: { token_endpoint_auth_method: 'none' }, secret: false, by: 'none',
  },
  mutualTls('tls_client_auth at the aliases for mutual TLS', 'certified', 'client_auth tls_client_auth;'),
  mutualTls('tls_client_auth by default, with a certificate and no secret', 'certified', ''),
  mutualTls('self_signed_tls_client_auth at the aliases for mutual TLS', 'self-signed', 'client_auth self_signed_tls_client_auth;'),
  {
    ...mutualTls('tls_client_auth at configured endpoints', 'certified', `client_auth tls_client_auth; userinfo on;
      authorization_endpoint @TLS@/auth; token_endpoint @MUTUAL@/token; userinfo_endpoint @MUTUAL@/me; jwks_uri @TLS@/jwks;`),
    discovery: false, userinfo: 'application/json',
  },
  {
    fact: 'client_secret_basic over TLS',
    nginx: 'client_auth client_secret_basic;', tls: true, by: 'client_secret_basic',
  },

  // --- ID tokens: signature and encryption
  ...['PS256', 'ES256', 'EdDSA', 'HS256'].map((alg) => ({
    fact: `an ID token signed with ${alg}`,
    nginx: `id_token_alg ${alg};`, client: { id_token_signed_response_alg: alg }, idToken: alg,
  })),
  encrypted('RSA-OAEP', 'A128CBC-HS256', 'rsa.pem'),
  encrypted('RSA-OAEP', 'A256CBC-HS512', 'rsa.pem'),
  encrypted('RSA-OAEP', 'A256GCM', 'rsa.jwk'),
  encrypted('RSA-OAEP-256', 'A128CBC-HS256', 'rsa.jwk'),
  encrypted('RSA-OAEP-256', 'A256GCM', 'rsa.pem'),
  encrypted('ECDH-ES', 'A128CBC-HS256', 'p256.jwk'),
  encrypted('ECDH-ES', 'A256CBC-HS512', 'p384.pem'),
  encrypted('ECDH-ES', 'A128GCM', 'p521.jwk'),
  ...['A128CBC-HS256', 'A256CBC-HS512', 'A128GCM', 'A256GCM'].map((enc) => encrypted('dir', enc)),
  {
    ...encrypted('RSA-OAEP', 'A128GCM', 'rsa.pem'),
    fact: 'an encrypted ID token with client_key only', nginx: '',
  },
  {
    fact: 'an ID token protected by the secret: signed with HS256, encrypted with dir',
    nginx: 'id_token_alg HS256; id_token_encrypted_alg dir;',
    client: { id_token_signed_response_alg: 'HS256', id_token_encrypted_response_alg: 'dir', id_token_encrypted_response_enc: 'A256GCM' },
    idToken: 'dir A256GCM',
  },
  {
    fact: 'an ID token that is not encrypted although required',
    nginx: 'id_token_encrypted_alg RSA-OAEP;', key: 'rsa.pem', status: 502, error: 'id_token_encryption',
  },
  {
    ...encrypted('RSA-OAEP', 'A256GCM', 'rsa.pem'),
    fact: 'an ID token encrypted with another algorithm than configured', nginx: 'id_token_encrypted_alg dir;', status: 502, error: 'id_token_encryption',
  },

  // --- user info
  { fact: 'user info as JSON', nginx: 'userinfo on;', userinfo: 'application/json' },
  ...['RS256', 'ES256', 'EdDSA'].map((alg) => ({
    fact: `user info signed with ${alg}`,
    nginx: 'userinfo on;', client: { userinfo_signed_response_alg: alg }, userinfo: 'application/jwt',
  })),
  { ...mutualTls('user info over mutual TLS', 'certified', 'client_auth tls_client_auth; userinfo on;'), userinfo: 'application/json' },

  // --- endpoints
  {
    fact: 'configured endpoints without discovery',
    nginx: 'authorization_endpoint @PROVIDER@/auth; token_endpoint @PROVIDER@/token; jwks_uri @PROVIDER@/jwks;', discovery: false,
  },
  {
    fact: 'configured endpoints with user info and pushed requests, without discovery',
    nginx: `authorization_endpoint @PROVIDER@/auth; token_endpoint @PROVIDER@/token; jwks_uri @PROVIDER@/jwks;
      userinfo on; userinfo_endpoint @PROVIDER@/me; pushed_authorization on; pushed_authorization_request_endpoint @PROVIDER@/request;`,
    discovery: false, userinfo: 'application/json', pushed: true,
  },

  // --- authorization request and response
  { fact: 'form_post', nginx: 'response_mode form_post;', mode: 'form_post' },
  { ...pushed('a pushed request'), client: { require_pushed_authorization_requests: true } },
  { ...pushed('a pushed request by default if the metadata requires it'), nginx: '', offers: { require_pushed_authorization_requests: true } },
  {
    ...privateKeyJwt('a pushed request', 'ed25519.pem', 'EdDSA'), nginx: 'pushed_authorization on; client_auth private_key_jwt;',
    pushed: true,
  },
  {
    ...pushed('a pushed request with client_secret_post'), nginx: 'pushed_authorization on; client_auth client_secret_post;',
    client: { token_endpoint_auth_method: 'client_secret_post' }, by: 'client_secret_post',
  },
  {
    ...pushed('a pushed request of a public client'), nginx: 'pushed_authorization on; client_auth none;',
    client: { token_endpoint_auth_method: 'none' }, secret: false, by: 'none',
  },
  { ...mutualTls('a pushed request over mutual TLS', 'certified', 'pushed_authorization on; client_auth tls_client_auth;'), pushed: true },
  { ...pushed('a pushed request with a response by form_post'), nginx: 'pushed_authorization on; response_mode form_post;', mode: 'form_post' },

  // --- all at once
  {
    fact: 'private_key_jwt, a pushed request, form_post, an encrypted ID token, signed user info',
    nginx: `client_auth private_key_jwt; pushed_authorization on; response_mode form_post; id_token_alg ES256;
      id_token_encrypted_alg ECDH-ES; userinfo on;`,
    client: {
      token_endpoint_auth_method: 'private_key_jwt', require_pushed_authorization_requests: true,
      id_token_signed_response_alg: 'ES256', id_token_encrypted_response_alg: 'ECDH-ES', id_token_encrypted_response_enc: 'A256GCM',
      userinfo_signed_response_alg: 'ES256',
    },
    secret: false, key: 'p256.jwk', by: 'private_key_jwt ES256', pushed: true, mode: 'form_post', idToken: 'ECDH-ES A256GCM',
    userinfo: 'application/jwt',
  },
].map((row) => ({ ...row, id: row.fact.replace(/\W+/g, '-') }));

function privateKeyJwt(fact, key, alg) {
  return {
    fact: `private_key_jwt with ${fact}`,
    nginx: 'client_auth private_key_jwt;', client: { token_endpoint_auth_method: 'private_key_jwt' }, secret: false, key,
    by: `private_key_jwt ${alg}`,
  };
}

function mutualTls(fact, certificate, nginx) {
  const method = certificate === 'certified' ? 'tls_client_auth' : 'self_signed_tls_client_auth';
  const client = { token_endpoint_auth_method: method };
  if (certificate === 'certified') client.tls_client_auth_san_dns = CLIENT_NAME;
  return { fact, nginx, client, secret: false, certificate, tls: true, by: method };
}

function encrypted(alg, enc, key) {
  return {
    fact: `an ID token encrypted with ${alg} and ${enc}${key ? `, ${key}` : ''}`,
    nginx: `id_token_encrypted_alg ${alg};`, client: { id_token_encrypted_response_alg: alg, id_token_encrypted_response_enc: enc },
    key, idToken: `${alg} ${enc}`,
  };
}

function pushed(fact) {
  return { fact, nginx: 'pushed_authorization on;', pushed: true };
}

const FORM_POST = ROWS.find(({ mode }) => mode === 'form_post');

let demo;
let browser;
let pages;     // of the browser's user, at the provider with and without TLS
let site;
let addresses;

describe('a login at oidc-provider', () => {
  before(async () => {
    demo = await startDemo('protocol', prepare);
    browser = await launchBrowser();
    // Cookies do not distinguish ports: the provider over TLS gets its own browser context.
    pages = { plain: await newPage(await newContext()), tls: await newPage(await newContext()) };
  }, { timeout: 30000 });

  after(async () => {
    await browser?.close();
    demo?.stop();
  }, { timeout: 20000 });

  for (const row of ROWS) {
    it(`${row.status ? 'refuses' : 'works with'} ${row.fact}`, { timeout: 20000 }, async () => {
      const page = row.tls ? pages.tls : pages.plain;
      // Keep the session at the provider, remove that of the application.
      await page.context().clearCookies({ domain: 'localhost' });
      await withScreenshot(page, row.id, () => (row.status ? isRefused(row, page) : logsIn(row, page)));
    });
  }

  it('with form_post has a login cookie with SameSite=None and Secure', { timeout: 20000 }, async () => {
    const context = await newContext();
    const page = await newPage(context);
    await withScreenshot(page, 'login-cookie', async () => {
      await page.goto(pageOf(FORM_POST));
      const cookies = await context.cookies(site);
      assert.notEqual(cookies.length, 0);
      for (const { name, sameSite, secure } of cookies) assert.deepEqual([name, sameSite, secure], [name, 'None', true]);
    });
  });

  it('with form_post, cancelled at the provider, gives no session', { timeout: 20000 }, async () => {
    const context = await newContext();
    const page = await newPage(context);
    await withScreenshot(page, 'cancelled', async () => {
      await page.goto(pageOf(FORM_POST));
      const callback = page.waitForResponse((response) => response.url().startsWith(`${site}/`));
      await page.click('text=Cancel');
      assert.equal((await callback).request().method(), 'POST');
      assert.equal((await callback).status(), 403);
      assert.equal((await callback).headers()['x-oidc-error'], 'provider_access_denied');
      assert.equal((await context.cookies(site)).find(({ name }) => name === 'NGX_OIDC_SESSION'), undefined);
    });
  });
});

// --- the logins of a row

async function logsIn(row, page) {
  const discoveries = discoveriesSoFar();
  const requests = await requestsOf(page, () => logIn(row, page));

  assert.equal(await heading(page), 'Hello, Alice Liddell', lastErrorOfNginx());
  assert.equal(page.url(), pageOf(row));
  const { 'x-user': user, 'x-groups': groups, 'x-picture': picture } = await headersShown(page);
  assert.deepEqual([user, groups, picture], ['alice', 'staff,admins', row.userinfo && PICTURE]);
  assert.deepEqual(loggedOf(row), expectedOf(row));
  assert.deepEqual(callbacksAmong(requests, row), [row.mode === 'form_post' ? 'POST' : 'GET']);
  if (row.pushed) assert.deepEqual(authorizationAmong(requests, row), ['client_id', 'request_uri']);
  if (row.discovery === false) assert.equal(discoveriesSoFar(), discoveries);
}

async function isRefused(row, page) {
  const callback = page.waitForResponse((response) => response.url().startsWith(callbackOf(row)));
  await logIn(row, page);
  assert.equal((await callback).status(), row.status);
  assert.equal((await callback).headers()['x-oidc-error'], row.error);
  assert.deepEqual(loggedOf(row), expectedOf(row));
}

async function logIn(row, page) {
  await page.goto(pageOf(row));
  if (await page.isVisible('#password')) await type(page, 'alice', 'wonderland');
  if (!page.url().startsWith(site)) await allow(page, row.id);
  await page.waitForURL((url) => url.origin === site);
}

async function headersShown(page) {
  return Object.fromEntries(await page.$$eval('#headers tr', (lines) => lines.map((line) => [...line.children].map((cell) => cell.textContent))));
}

function expectedOf({ id, by = 'client_secret_basic', mode = 'query', pushed: first, idToken = 'RS256', userinfo }) {
  return [
    first && `pushed request of ${id} by ${by}`,
    `authorization of ${id} by ${mode}${first ? ', pushed' : ''}`,
    `tokens for ${id} by ${by}, ID token ${idToken}`,
    userinfo && `user info for ${id} as ${userinfo}`,
  ].filter(Boolean);
}

function loggedOf({ id }) {
  const lines = demo.log('provider').split('\n').map((line) => line.replace(/^\S+ /, ''));
  return lines.filter((line) => / (?:of|for) (\S+)/.exec(line)?.[1] === id);
}

function discoveriesSoFar() {
  return demo.log('provider').split(' /.well-known/').length;
}

function callbacksAmong(requests, row) {
  return requests.filter((request) => request.url().startsWith(callbackOf(row))).map((request) => request.method());
}

function authorizationAmong(requests, row) {
  const request = requests.find((sent) => sent.url().startsWith(`${issuerOf(row)}/auth?`));
  return [...new URL(request.url()).searchParams.keys()].sort();
}

function lastErrorOfNginx() {
  return demo.log('nginx').split('\n').filter((line) => line.includes('[error]')).at(-1);
}

async function newContext() {
  return browser.newContext({ ignoreHTTPSErrors: true });
}

async function requestsOf(page, action) {
  const requests = [];
  const note = (request) => requests.push(request);
  page.on('request', note);
  await action().finally(() => page.off('request', note));
  return requests;
}

async function withScreenshot(page, name, test) {
  try {
    await test();
  } catch (error) {
    await page.screenshot({ path: `${demo.output}/failed-${name}.png` });
    throw error;
  }
}

// --- addresses

const pageOf = (row) => `${site}/${row.id}/`;
const callbackOf = (row) => `${site}/${row.id}/callback`;
const issuerOf = (row) => (row.tls ? addresses.TLS : addresses.PROVIDER);

// --- registrations, and nginx's configuration

async function prepare({ provider, application }, directory) {
  const [port, tlsPort, mutualPort] = await freePorts(3);
  const keys = makeKeys(`${directory}/keys`);
  const selfSigned = makeCertificates(`${directory}/keys`, CLIENT_NAME);
  const file = (name) => `${directory}/keys/${name}`;
  site = `http://localhost:${port}`;
  addresses = { PROVIDER: provider, TLS: `https://127.0.0.1:${tlsPort}`, MUTUAL: `https://127.0.0.1:${mutualPort}` };
  return {
    clients: ROWS.map((row) => registrationOf(row, { ...keys, selfSigned })),
    tls: { port: tlsPort, mutualPort, certificate: file('provider.crt'), key: file('provider.key'), authority: file('authority.crt') },
    configuration: configurationOf(port, application),
  };
}

function registrationOf(row, keys) {
  const known = row.certificate === 'self-signed' ? keys.selfSigned : keys[row.key?.replace(/\.\w+$/, '')];
  return {
    client_id: row.id,
    client_name: row.id,
    client_secret: row.secret === false ? undefined : SECRET,
    redirect_uris: [callbackOf(row)],
    jwks: known && { keys: [known] },
    ...row.client,
  };
}

function configurationOf(port, application) {
  return `
${ROWS.map((row) => providerBlock(row, port)).join('\n')}
server {
  listen 127.0.0.1:${port};
  server_name localhost;
  location = /favicon.ico { return 204; }
  add_header X-Oidc-Error $oidc_error always;
  proxy_set_header X-User $oidc_claim_sub;
  proxy_set_header X-Name $oidc_claim_name;
  proxy_set_header X-Groups $oidc_claim_groups;
  proxy_set_header X-Picture $oidc_claim_picture;
${ROWS.map((row) => `  location /${row.id}/ { auth_oidc ${row.id}; proxy_pass ${application}; }`).join('\n')}
${ROWS.filter(({ offers }) => offers).map((row) => `  location = /${row.id}/metadata { default_type application/json; return 200 '${JSON.stringify(metadataOf(row))}'; }`).join('\n')}
}
`;
}

function providerBlock(row, port) {
  return `oidc_provider ${row.id} {
  issuer ${issuerOf(row)};
  client_id ${row.id};
  redirect_uri /${row.id}/callback;
  scope openid profile email;
  ${row.tls ? 'ssl_trusted_certificate keys/authority.crt;' : ''}
  ${row.secret === false ? '' : `client_secret "${SECRET}";`}
  ${row.key ? `client_key keys/${row.key};` : ''}
  ${row.certificate ? `client_certificate keys/${row.certificate}.crt; client_certificate_key keys/${row.certificate}.key;` : ''}
  ${row.offers ? `config_url http://127.0.0.1:${port}/${row.id}/metadata;` : ''}
  ${(row.nginx ?? '').replace(/@(\w+)@/g, (word, name) => addresses[name])}
}`;
}

function metadataOf(row) {
  const issuer = issuerOf(row);
  return {
    issuer,
    authorization_endpoint: `${issuer}/auth`,
    token_endpoint: `${issuer}/token`,
    userinfo_endpoint: `${issuer}/me`,
    jwks_uri: `${issuer}/jwks`,
    pushed_authorization_request_endpoint: `${issuer}/request`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    code_challenge_methods_supported: ['S256'],
    ...row.offers,
  };
}
