// The provider of the soak test. Its response is chosen by the code, which the browser makes itself:
// "case.nonce.challenge.user". A new case is a row of `responses`, a new kind of provider a row of `sites`.

import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { pathToFileURL } from 'node:url';

const { SOAK_DIR, SOAK_NODE_MODULES } = process.env;
const { CompactSign } = await import(pathToFileURL(`${SOAK_NODE_MODULES}/jose/dist/node/esm/index.js`));

const client = { id: 'client', secret: 'secret-of-at-least-thirty-two-bytes' };
const keys = {
  RS256: newKey('rsa', { modulusLength: 2048 }),
  ES256: newKey('ec', { namedCurve: 'P-256' }),
  EdDSA: newKey('ed25519'),
};
const unpublished = newKey('ec', { namedCurve: 'P-256' });
const algs = Object.keys(keys);

// Each site is the issuer at the path of its name. fault() and `documents` get its row, so that a site can have another
// client authentication or other metadata.
const sites = {
  plain: { secure: false },
  tls: { secure: true },
};

// --- the token endpoint, by case

const responses = {
  good: send({}),
  good_big: send({ claims: { groups: Array.from({ length: 400 }, (_, i) => `group-of-people-${i}`) } }),
  good_chunked: async (login, res) => inPieces(res, JSON.stringify(await tokens(login))),
  good_interim: async (login, res) => {
    res.writeProcessing();
    json(res, 200, await tokens(login));
  },
  good_slow: async (login, res) => {
    const body = await tokens(login);
    setTimeout(() => json(res, 200, body), 200);
  },

  bad_signature: send({ alg: 'ES256', key: { ...unpublished, kid: keys.ES256.kid } }),
  unknown_kid: send({ alg: 'ES256', key: unpublished }),
  wrong_nonce: send({ claims: { nonce: 'another' } }),
  wrong_iss: send({ claims: { iss: 'https://another.example' } }),
  wrong_aud: send({ claims: { aud: 'another' } }),
  wrong_at_hash: send({ claims: { at_hash: 'another' } }),
  expired: send({ claims: { exp: now() - 3600 } }),
  no_sub: send({ claims: { sub: undefined } }),
  alg_none: unsigned({ alg: 'none' }),
  alg_hs256: unsigned({ alg: 'HS256', kid: keys.RS256.kid }),
  duplicate_claims: send({ payload: (text) => text.replace('{', '{"sub":"eve",') }),
  garbage_claims: send({ payload: () => randomBytes(200) }),
  garbage_id_token: (login, res) => json(res, 200, { ...bearer, id_token: randomBytes(400).toString('base64') }),
  no_id_token: (login, res) => json(res, 200, bearer),

  invalid_grant: (login, res) => json(res, 400, { error: 'invalid_grant', error_description: 'It was used before.' }),
  status_500: (login, res) => json(res, 500, { error: 'server_error' }),
  html: (login, res) => respond(res, 200, 'text/html', '<html><body>Down for maintenance</body></html>'),
  redirect: (login, res) => res.writeHead(302, { Location: '/elsewhere', Connection: 'close' }).end(),
  compressed: (login, res) => respond(res, 200, 'application/json', randomBytes(300), { 'Content-Encoding': 'gzip' }),
  garbage: (login, res) => respond(res, 200, 'application/json', randomBytes(2000)),
  duplicate_members: async (login, res) => {
    const text = JSON.stringify(await tokens(login));
    respond(res, 200, 'application/json', text.replace('{', '{"access_token":"another",'));
  },
  deep: (login, res) => respond(res, 200, 'application/json', '['.repeat(20000)),
  truncated: async (login, res) => {
    const text = JSON.stringify(await tokens(login));
    res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': text.length });
    res.write(text.slice(0, -10), () => res.socket.end());
  },
  reset_in_body: (login, res) => {
    res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': 5000 });
    res.write('{"access_token":"', () => reset(res.socket));
  },
  closed: (login, res) => res.socket.end(),
  reset: (login, res) => reset(res.socket),
  not_http: (login, res) => res.socket.end('220 mail.example ESMTP\r\n'),
  bad_chunks: (login, res) => res.socket.end(
    'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}'),
  huge_head: (login, res) => res.socket.write(`HTTP/1.1 200 OK\r\nX-Pad: ${'x'.repeat(60000)}\r\n\r\n`),
  oversize: (login, res) => respond(res, 200, 'application/json', Buffer.alloc(2_000_000, ' ')),
  endless: (login, res) => {
    res.writeHead(200, { 'Content-Type': 'application/json' });
    const more = () => { while (!res.destroyed && res.write(padding)); };
    res.on('drain', more);
    more();
  },
  silent: () => {},
  drip: (login, res) => {
    res.writeHead(200, { 'Content-Type': 'application/json' });
    const timer = setInterval(() => res.write(' '), 100);
    res.on('close', () => clearInterval(timer));
  },
};

const bearer = { access_token: 'an-access-token', token_type: 'Bearer', expires_in: 300 };
const padding = Buffer.alloc(16384, ' ');

function send(change) {
  return async (login, res) => json(res, 200, await tokens(login, change));
}

function unsigned(header) {
  return (login, res) => {
    const parts = [header, claimsOf(login), 'no signature'].map((part) => encode(JSON.stringify(part)));
    if (header.alg === 'none') parts[2] = '';
    json(res, 200, { ...bearer, id_token: parts.join('.') });
  };
}

async function tokens(login, change) {
  return { ...bearer, id_token: await idToken(login, change) };
}

async function idToken(login, { claims, alg = algs[Math.floor(Math.random() * 3)], key = keys[alg], payload } = {}) {
  const text = JSON.stringify({ ...claimsOf(login), ...claims });
  const bytes = Buffer.from(payload ? payload(text) : text);
  return new CompactSign(bytes).setProtectedHeader({ alg, kid: key.kid }).sign(key.privateKey);
}

function claimsOf({ site, nonce, user }) {
  return { iss: site.issuer, aud: client.id, sub: user, nonce, iat: now(), exp: now() + 300 };
}

async function respondToToken(site, req, res) {
  const form = new URLSearchParams(await read(req));
  const [name, nonce, challenge, user] = form.get('code')?.split('.') ?? [];
  const wrong = fault(site, req, form, challenge);
  if (wrong) return json(res, 400, { error: 'invalid_request', error_description: wrong });
  if (!responses[name]) return json(res, 400, { error: 'invalid_request', error_description: `no case ${name}` });
  return responses[name]({ site, nonce, user }, res);
}

function fault(site, req, form, challenge) {
  const basic = `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}`;
  const verifier = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
  if (req.method !== 'POST' || form.get('grant_type') !== 'authorization_code') return 'no code request';
  if (req.headers.authorization !== basic) return 'wrong authorization';
  if (!form.get('redirect_uri')?.endsWith(`/${site.name}/callback`)) return 'wrong redirect_uri';
  if (verifier !== challenge) return 'wrong code_verifier';
  return undefined;
}

// --- the other endpoints, requested again every minute

const documents = {
  '/.well-known/openid-configuration': ({ issuer }) => ({
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: algs,
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: ['client_secret_basic'],
  }),
  '/jwks': () => ({ keys: Object.entries(keys).map(([alg, { kid, publicKey }]) => ({
    ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig',
  })) }),
};

async function handle(req, res) {
  const [, name, path] = /^\/(\w+)(\/[^?]*)/.exec(req.url) ?? [];
  if (!sites[name]) return json(res, 404, {});
  if (path === '/token') return respondToToken(sites[name], req, res);
  if (!documents[path]) return json(res, 404, {});
  return json(res, 200, documents[path](sites[name]), { 'Cache-Control': 'max-age=60' });
}

// --- helpers

function newKey(type, options) {
  return { ...generateKeyPairSync(type, options), kid: randomBytes(6).toString('base64url') };
}

function encode(text) {
  return Buffer.from(text).toString('base64url');
}

function now() {
  return Math.floor(Date.now() / 1000);
}

async function read(req) {
  let body = '';
  for await (const chunk of req.setEncoding('utf8')) body += chunk;
  return body;
}

function json(res, status, value, headers) {
  respond(res, status, 'application/json', JSON.stringify(value), headers);
}

function respond(res, status, type, body, headers) {
  res.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body), ...headers }).end(body);
}

function inPieces(res, text) {
  res.writeHead(200, { 'Content-Type': 'application/json' });
  for (let i = 0; i < text.length; i += 100) res.write(text.slice(i, i + 100));
  res.end();
}

// A TLS socket cannot be reset, only destroyed.
function reset(socket) {
  if (socket.encrypted) socket.destroy();
  else socket.resetAndDestroy();
}

async function serve(server) {
  server.on('request', (req, res) => handle(req, res).catch(stop));
  server.on('clientError', (error, socket) => socket.destroy());
  await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
  return server.address().port;
}

function stop(error) {
  console.error(error.stack);
  process.exit(1);
}

const certificate = { cert: readFileSync(`${SOAK_DIR}/provider.crt`), key: readFileSync(`${SOAK_DIR}/provider.key`) };
const plain = `http://127.0.0.1:${await serve(createServer())}`;
const secure = `https://localhost:${await serve(createSecureServer(certificate))}`;
for (const [name, site] of Object.entries(sites)) {
  Object.assign(site, { name, issuer: `${site.secure ? secure : plain}/${name}` });
}
console.log(`ready ${plain} ${secure}`);
