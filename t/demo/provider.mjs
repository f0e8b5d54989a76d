// The OpenID Provider of the demo and the browser tests: the certified oidc-provider with our own login and consent pages,
// on loopback. Its signing keys are in the demo's directory, its users in users.mjs, everything else in memory. With
// DEMO_TLS there is a second issuer over TLS with the same users and clients.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { consentPage, loginPage, logoutPage, messagePage } from './pages.mjs';
import { mutualTls } from './tls.mjs';
import { login, users } from './users.mjs';

const {
  DEMO_DIR, DEMO_PORT, DEMO_PROVIDER_PORT, DEMO_CLIENTS = '[]', DEMO_TLS = 'null', DEMO_NODE_MODULES,
} = process.env;
const { default: Provider } = await import(pathToFileURL(`${DEMO_NODE_MODULES}/oidc-provider/lib/index.js`));

// Cookies do not distinguish ports: provider and application use different hosts to keep their cookies apart.
const issuer = `http://127.0.0.1:${DEMO_PROVIDER_PORT}`;
const application = `http://localhost:${DEMO_PORT}`;

const { jwks, cookieKeys } = savedKeys(`${DEMO_DIR}/provider-keys.json`);
const configuration = {
  clients: registeredClients(),
  jwks,
  cookies: { keys: cookieKeys },
  findAccount,
  claims: {
    openid: ['sub'],
    profile: ['name', 'given_name', 'family_name', 'preferred_username', 'picture', 'groups', 'roles'],
    email: ['email', 'email_verified'],
  },
  // Claims of the scopes are in the ID token too, so that a client does not need user info.
  conformIdTokenClaims: false,
  enabledJWA: {
    clientAuthSigningAlgValues: ['HS256', 'RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'],
    idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA', 'HS256'],
  },
  // For clients in DEMO_CLIENTS with short-lived access tokens
  extraClientMetadata: { properties: ['access_token_seconds'] },
  pkce: { required: () => true },
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  ttl: {
    AccessToken: (ctx, token, client) => client.access_token_seconds ?? 300,
    AuthorizationCode: 60, IdToken: 300, Interaction: 600, Grant: 28800, RefreshToken: 28800, Session: 28800,
  },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    encryption: { enabled: true },
    introspection: { enabled: true },
    jwtUserinfo: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    requestObjects: { request: true },
    revocation: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => { ctx.body = logoutPage(form); },
      postLogoutSuccessSource: (ctx) => {
        ctx.body = messagePage({ title: 'Logged out', text: 'Your session at the provider has ended.', application });
      },
    },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  renderError: (ctx, { error, error_description: text }) => {
    ctx.type = 'html';
    ctx.body = messagePage({ title: 'The provider refuses', text: `${error}: ${text}`, application });
  },
};

listen(createServer(responderOf(newProvider(issuer, configuration))), DEMO_PROVIDER_PORT);
const tls = parsed('DEMO_TLS', DEMO_TLS);
if (tls) listenWithTls(mutualTls(tls));

function listenWithTls({ issuer: name, additions, servers }) {
  const features = { ...configuration.features, ...additions.features };
  const respond = responderOf(newProvider(name, { ...configuration, ...additions, features }));
  for (const { port, server } of servers) listen(server.on('request', respond), port);
}

function listen(server, port) {
  server.on('error', stop).listen(Number(port), '127.0.0.1');
}

function newProvider(name, settings) {
  const provider = new Provider(name, settings);
  logEvents(provider);
  return provider;
}

function savedKeys(file) {
  if (!existsSync(file)) writeFileSync(file, JSON.stringify(newKeys()), { mode: 0o600 });
  return JSON.parse(readFileSync(file, 'utf8'));
}

// One RSA key serves RS256 and PS256: it has no alg.
function newKeys() {
  const pairs = [
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('ed25519'),
  ];
  const keys = pairs.map(({ privateKey }) => ({
    ...privateKey.export({ format: 'jwk' }), use: 'sig', kid: randomBytes(6).toString('base64url'),
  }));
  return { jwks: { keys }, cookieKeys: [randomBytes(32).toString('base64url')] };
}

// DEMO_CLIENTS is a JSON array of client metadata; an entry with the client_id "demo" replaces the default one.
function registeredClients() {
  const demo = {
    client_id: 'demo',
    client_secret: 'a-secret-that-only-opens-the-demo',
    client_name: 'Demo application',
    client_uri: application,
    redirect_uris: [`${application}/oidc_callback`, `http://127.0.0.1:${DEMO_PORT}/oidc_callback`],
    post_logout_redirect_uris: [`${application}/`, `http://127.0.0.1:${DEMO_PORT}/`],
    backchannel_logout_uri: `http://127.0.0.1:${DEMO_PORT}/backchannel_logout`,
    backchannel_logout_session_required: true,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
  };
  const clients = new Map([demo, ...parsed('DEMO_CLIENTS', DEMO_CLIENTS)].map((client) => [client.client_id, client]));
  return [...clients.values()];
}

function parsed(name, json) {
  try {
    return JSON.parse(json);
  } catch (error) {
    return stop(new Error(`${name} is not JSON: ${error.message}`));
  }
}

// The claim picture is in user info only: not every claim has to be in the ID token.
function findAccount(ctx, sub) {
  const claims = Object.values(users).find((user) => user.claims.sub === sub)?.claims;
  const { picture, ...inIdToken } = claims ?? {};
  return claims && { accountId: sub, claims: (use) => (use === 'id_token' ? inIdToken : claims) };
}

function responderOf(provider) {
  const handleProtocol = provider.callback();
  return async (req, res) => {
    const { pathname } = new URL(req.url, provider.issuer);
    // No query in the log: it carries state and code.
    res.on('finish', () => log(`${req.method} ${pathname} ${res.statusCode}`));
    try {
      if (pathname.startsWith('/interaction/')) await interact(provider, req, res);
      else if (pathname === '/') send(res, 200, welcome(provider));
      else await handleProtocol(req, res);
    } catch (error) {
      refuse(res, error);
    }
  };
}

function welcome({ issuer: text }) {
  return messagePage({ title: 'The provider of the demo', text, application });
}

async function interact(provider, req, res) {
  const interaction = await provider.interactionDetails(req, res);
  if (req.method === 'POST') await proceed(provider, interaction, await readForm(req), req, res);
  else send(res, 200, await interactionPage(provider, interaction));
}

async function interactionPage(provider, { prompt, params, session }, retry) {
  const { clientName: application } = await provider.Client.find(params.client_id);
  if (prompt.name === 'login') return loginPage({ application, user: params.login_hint, ...retry });
  return consentPage({ application, user: session.accountId, scopes: params.scope.split(' ') });
}

async function proceed(provider, interaction, form, req, res) {
  if (form.get('answer') === 'cancel') {
    const result = { error: 'access_denied', error_description: 'The user cancelled.' };
    await provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
  } else if (interaction.prompt.name === 'login') {
    await checkPassword(provider, interaction, form, req, res);
  } else {
    const consent = { grantId: await grant(provider, interaction) };
    await provider.interactionFinished(req, res, { consent });
  }
}

async function checkPassword(provider, interaction, form, req, res) {
  const name = form.get('user') ?? '';
  const user = login(name, form.get('password'));
  log(user ? `login of ${user.claims.sub}` : 'login refused');
  if (!user) return send(res, 403, await interactionPage(provider, interaction, { user: name, refused: true }));
  const result = { login: { accountId: user.claims.sub } };
  return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
}

async function grant(provider, { grantId, params, prompt, session }) {
  const { accountId } = session;
  const known = grantId && await provider.Grant.find(grantId);
  const given = known || new provider.Grant({ accountId, clientId: params.client_id });
  const { missingOIDCScope = [], missingOIDCClaims = [] } = prompt.details;
  given.addOIDCScope(missingOIDCScope.join(' '));
  given.addOIDCClaims(missingOIDCClaims);
  return given.save();
}

async function readForm(req) {
  let body = '';
  for await (const chunk of req.setEncoding('utf8')) {
    body += chunk;
    if (body.length > 4096) throw new Error('the form is too large');
  }
  return new URLSearchParams(body);
}

// The browser's back button may show the login page of a finished login: say so, and link to the application.
function refuse(res, error) {
  if (error.name === 'SessionNotFound') {
    const text = 'It was finished before, or too much time has passed.';
    return send(res, 200, messagePage({ title: 'This login is over', text, application }));
  }
  log(error.stack);
  return send(res, 500, messagePage({ title: 'The provider failed', text: 'Its log says why.', application }));
}

function send(res, status, html) {
  res.writeHead(status, {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
  }).end(html);
}

// Logs events without secrets: how a client authenticated, and the form of the response.
function logEvents(provider) {
  const say = (event, text) => provider.on(event, (ctx, ...rest) => log(text(ctx, ...rest)));
  say('pushed_authorization_request.success', (ctx) => `pushed request of ${nameOf(ctx)} by ${authenticationOf(ctx)}`);
  say('authorization.success', (ctx) => `authorization of ${nameOf(ctx)} by ${wayOf(ctx)}`);
  say('grant.success', (ctx) => `${grantOf(ctx)} for ${nameOf(ctx)} by ${authenticationOf(ctx)}, ID token ${protectionOf(ctx.body.id_token)}`);
  say('backchannel.success', (ctx, client, user) => `back-channel logout of ${user} at ${client.clientId}`);
  say('backchannel.error', (ctx, error, client, user) => `back-channel logout of ${user} at ${client.clientId} failed: ${error.message}`);
  for (const event of ['authorization.error', 'grant.error', 'pushed_authorization_request.error', 'userinfo.error', 'server_error']) {
    say(event, (ctx, error) => `${event} ${error.error_detail ?? error.error_description ?? error.stack}`);
  }
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.oidc?.route === 'userinfo' && ctx.status === 200) log(`user info for ${nameOf(ctx)} as ${ctx.type}`);
  });
}

function nameOf(ctx) {
  return ctx.oidc.client.clientId;
}

function grantOf({ oidc: { params, entities } }) {
  if (params.grant_type !== 'refresh_token') return 'tokens';
  return entities.RotatedRefreshToken ? 'new tokens and a new refresh token' : 'new tokens';
}

// From the request, not the registration: the provider accepts a secret by basic and post alike.
function authenticationOf({ headers, socket, oidc: { body, client } }) {
  if (headers.authorization) return 'client_secret_basic';
  if (body.client_secret) return 'client_secret_post';
  if (body.client_assertion) return `${client.clientAuthMethod} ${protectionOf(body.client_assertion)}`;
  return socket.getPeerX509Certificate?.() ? client.clientAuthMethod : 'none';
}

function wayOf({ oidc: { responseMode, entities } }) {
  const pushed = entities.PushedAuthorizationRequest ?? entities.Interaction?.parJti;
  return pushed ? `${responseMode}, pushed` : responseMode;
}

function protectionOf(token) {
  const { alg, enc } = JSON.parse(Buffer.from(token.split('.')[0], 'base64url'));
  return enc ? `${alg} ${enc}` : alg;
}

function log(text) {
  console.log(`${new Date().toISOString()} ${text}`);
}

function stop(error) {
  console.error(`provider: ${error.message}`);
  process.exit(1);
}
