// The OpenID Provider of the chaos test: several issuers in one server. It knows the login and the client of every code and
// token, and reports one that another client sends. Subjects and login ids contain provider and user, so that a reader knows
// where they may be shown.

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { issuers, secret } from './environment.mjs';

const now = () => Math.floor(Date.now() / 1000);
const unique = () => randomBytes(12).toString('base64url');
const max_per_second = 1500;

// Probabilities of a slow and of a failing response
export const conditions = {
  good: { slow: 0, failing: 0 },
  tired: { slow: 0.1, failing: 0.01 },
  slow: { slow: 0.3, failing: 0.02 },
  failing: { slow: 0.1, failing: 0.1 },
};

export class Provider {
  logins = new Map();     // by id
  codes = new Map();
  refreshTokens = new Map();
  accessTokens = new Map();
  revocations = new Map();    // how often a token was revoked
  counts = {};
  isReliable = true;      // responds at once and correctly
  condition = conditions.good;

  // `report` is called with requests that mix up logins, clients or issuers.
  constructor(random, report) {
    this.random = random;
    this.report = report;
    this.keys = Object.fromEntries(issuers.map((name) => [name, newKey()]));
  }

  async start() {
    this.server = createServer((req, res) => { this.respond(req, res).catch((error) => { throw error; }); });
    this.server.on('clientError', (error, socket) => socket.destroy());
    await new Promise((done) => { this.server.listen(0, '127.0.0.1', done); });
    this.origin = `http://127.0.0.1:${this.server.address().port}`;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  chance(probability) {
    return this.random.chance(probability);
  }

  issuerOf(name) {
    return `${this.origin}/${name}`;
  }

  count(what) {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  // Plays the authorization endpoint. Returns the login.
  authorize(location, block, user) {
    const url = new URL(location);
    const query = Object.fromEntries(url.searchParams);
    const sub = `${block.client}.${user}`;
    const login = {
      id: `${block.name}-${unique()}`, block, client: block.client, user, sub, nick: `nick-of-${sub}`,
      sid: this.chance(0.85) ? unique() : undefined, nonce: query.nonce, challenge: query.code_challenge,
      state: query.state, code: unique(), serial: 0, refreshes: 0,
    };
    this.logins.set(login.id, login);
    this.codes.set(login.code, login);
    return login;
  }

  logoutToken(block, claims) {
    const payload = { iss: this.issuerOf(block.issuer), aud: block.client, iat: now(), exp: now() + 120, jti: unique(),
      events: { 'http://schemas.openid.net/event/backchannel-logout': {} }, ...claims };
    return this.sign(block.issuer, payload, 'logout+jwt');
  }

  // --- endpoints

  async respond(req, res) {
    const [, issuer, path] = /^\/(\w+)(\/[^?]*)/.exec(req.url) ?? [];
    const endpoint = this.keys[issuer] && endpoints[path];
    if (!endpoint) return json(res, 404, {});
    this.watchRate();
    const form = new URLSearchParams(await read(req).catch(() => ''));
    await this.delay(path);
    if (!this.fails(path, res)) this[endpoint](res, { issuer, form, headers: req.headers });
    return undefined;
  }

  watchRate() {
    const second = now();
    if (this.second !== second) this.inSecond = 0;
    this.second = second;
    if (++this.inSecond === max_per_second) this.report('rate', 'nginx sends requests in an endless loop');
  }

  async delay(path) {
    if (this.isReliable || !isDirect(path)) return;
    const seconds = this.chance(this.condition.slow) ? this.random.between(0.2, 1.4) : this.chance(0.3) ? this.random.between(0, 0.15) : 0;
    if (seconds) await new Promise((done) => { setTimeout(done, seconds * 1000); });
  }

  fails(path, res) {
    if (this.isReliable || !isDirect(path) || !this.chance(this.condition.failing)) return false;
    this.count('failing responses');
    const how = this.random.pick([0, 1, 2, 3]);
    if (how === 0) json(res, 500, { error: 'server_error' });
    if (how === 1) res.socket.resetAndDestroy();
    if (how === 2) setTimeout(() => res.socket?.destroy(), 4000);
    if (how === 3) res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': 500 }).write('{"access_token":');
    if (how === 3) setTimeout(() => res.socket?.destroy(), 100);
    return true;
  }

  metadata(res, { issuer }) {
    const base = this.issuerOf(issuer);
    json(res, 200, {
      issuer: base,
      authorization_endpoint: `${base}/authorize`,
      token_endpoint: `${base}/token`,
      jwks_uri: `${base}/jwks`,
      userinfo_endpoint: `${base}/userinfo`,
      revocation_endpoint: `${base}/revoke`,
      end_session_endpoint: `${base}/end`,
      response_types_supported: ['code'],
      subject_types_supported: ['pairwise'],
      id_token_signing_alg_values_supported: ['ES256'],
      code_challenge_methods_supported: ['S256'],
      token_endpoint_auth_methods_supported: ['client_secret_basic'],
    }, { 'Cache-Control': 'max-age=60' });
  }

  jwks(res, { issuer }) {
    const { publicKey, kid } = this.keys[issuer];
    json(res, 200, { keys: [{ ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' }] });
  }

  token(res, request) {
    const client = clientOf(request);
    if (request.form.get('grant_type') === 'refresh_token') return this.refresh(res, request, client);
    const login = this.codes.get(request.form.get('code'));
    if (!this.belongs(login, client, request, 'a code')) return json(res, 400, { error: 'invalid_grant' });
    const verifier = createHash('sha256').update(request.form.get('code_verifier') ?? '').digest('base64url');
    if (verifier !== login.challenge) this.report('code', `${login.id}: the code came with the verifier of another login`);
    if (login.redeemedAt) return this.takeTwice(res, login);
    login.redeemedAt = Date.now();
    this.count('codes');
    return json(res, 200, this.tokens(login, { nonce: login.nonce }));
  }

  // A full zone evicts the locks of callbacks, but not so soon.
  takeTwice(res, login) {
    const between = Date.now() - login.redeemedAt;
    if (between < 1000) this.report('code', `${login.id}: its code came twice within ${between} ms`, login);
    this.count('used codes');
    return json(res, 400, { error: 'invalid_grant' });
  }

  // Each refresh token is accepted once.
  refresh(res, request, client) {
    const token = this.refreshTokens.get(request.form.get('refresh_token'));
    if (!this.belongs(token?.login, client, request, 'a refresh token')) return json(res, 400, { error: 'invalid_grant' });
    if (token.used) {
      this.count('used refresh tokens');
      return json(res, 400, { error: 'invalid_grant' });
    }
    token.used = true;
    token.login.refreshes++;
    this.count('refreshes');
    const mistaken = !this.isReliable && this.chance(0.01);
    return json(res, 200, this.tokens(token.login, mistaken ? { sub: `${client}.mistaken` } : {}));
  }

  userinfo(res, { headers }) {
    const login = this.accessTokens.get(headers.authorization?.replace('Bearer ', ''));
    if (!login) return json(res, 401, {});
    const mistaken = !this.isReliable && this.chance(0.01);
    return json(res, 200, { sub: mistaken ? 'mistaken' : login.sub, nick: login.nick });
  }

  revoke(res, request) {
    const name = request.form.get('token');
    const login = this.refreshTokens.get(name)?.login ?? this.accessTokens.get(name);
    this.belongs(login, clientOf(request), request, 'a token to revoke');
    this.count('revocations');
    const times = (this.revocations.get(name) ?? 0) + 1;
    this.revocations.set(name, times);
    if (times === 20) this.report('revocation', `${login?.id}: one token is revoked in a loop`);
    setTimeout(() => json(res, 200, {}), times > 20 ? 500 : 0);
  }

  belongs(login, client, { issuer }, what) {
    const own = login && login.client === client && login.block.issuer === issuer;
    if (!own && login) this.report('token', `client ${client} sent ${what} of ${login.id} to issuer ${issuer}`);
    if (!own && !login) this.count(`unknown: ${what}`);
    return own;
  }

  // --- tokens

  tokens(login, claims) {
    const access = `at.${login.id}.${++login.serial}`;
    const refresh = unique();
    this.accessTokens.set(access, login);
    this.refreshTokens.set(refresh, { login });
    const payload = { iss: this.issuerOf(login.block.issuer), aud: login.client, sub: login.sub, iat: now(), exp: now() + 300,
      sid: login.sid, login: login.id, ...claims };
    return { access_token: access, token_type: 'Bearer', expires_in: login.block.life, refresh_token: refresh,
      id_token: this.sign(login.block.issuer, payload, 'JWT') };
  }

  sign(issuer, payload, typ) {
    const { privateKey, kid } = this.keys[issuer];
    const input = [{ alg: 'ES256', kid, typ }, payload].map((part) => encode(JSON.stringify(part))).join('.');
    return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
}

const endpoints = {
  '/.well-known/openid-configuration': 'metadata', '/jwks': 'jwks', '/token': 'token', '/userinfo': 'userinfo',
  '/revoke': 'revoke',
};

// Documents never fail: without them no login would succeed for a while, which tests nothing here.
function isDirect(path) {
  return path === '/token' || path === '/userinfo' || path === '/revoke';
}

function clientOf({ headers }) {
  const [client, password] = Buffer.from(headers.authorization?.replace('Basic ', '') ?? '', 'base64').toString().split(':');
  return password === secret ? client : undefined;
}

function newKey() {
  return { ...generateKeyPairSync('ec', { namedCurve: 'P-256' }), kid: unique() };
}

function encode(text) {
  return Buffer.from(text).toString('base64url');
}

async function read(req) {
  let body = '';
  for await (const chunk of req.setEncoding('utf8')) body += chunk;
  return body;
}

function json(res, status, value, headers) {
  const body = JSON.stringify(value);
  if (res.destroyed) return;
  res.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), ...headers }).end(body);
}
