// A browser with a method for each of its actions. All requests go through send(), where their responses are judged.

import { Connections } from './http.mjs';
import { Jar, isDeletion, isOfSession, nameOf } from './jar.mjs';
import { blocks, loginPageOf, pageAt, sites } from './environment.mjs';

const max_lines = 60;
const max_copies = 12;
const same_site = { 'Sec-Fetch-Site': 'same-origin', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' };
const form = { 'Content-Type': 'application/x-www-form-urlencoded' };

let serial = 0;

export class Browser {
  jar = new Jar();
  copies = [];       // earlier jars
  begun = [];        // recent logins
  lines = [];

  constructor(chaos, name, user, address) {
    Object.assign(this, { chaos, name, user, judge: chaos.judge, provider: chaos.provider, random: chaos.random.fork(name) });
    this.connections = new Connections(chaos.ports, chaos.certificate, address);
    this.isSecure = this.random.chance(0.7);    // always on https, or always on http: its cookies differ
  }

  history() {
    return this.lines.map((line) => `${this.name} ${line}`);
  }

  note(line) {
    this.lines.push(`${new Date().toISOString().slice(11, 23)} ${line}`);
    if (this.lines.length > max_lines) this.lines.shift();
  }

  // --- a request; a response at the module's own paths may show any session of the request

  async send(kind, { site, host = 'localhost', method = 'GET', path, headers, body, page, block, begun = [], jar = this.jar,
    shows = page ? [page.shows].filter((name) => name) : Object.keys(blocks), leaving = 0 }) {
    await this.chaos.pace();
    const id = `${kind}-${++serial}`;
    const exchange = { id, kind, page, block, begun, shows, browser: this, provider: this.provider, isSecure: this.isSecure,
      jar: jar.copy(), sentAt: Date.now() };
    exchange.text = `${id} ${this.name} ${method} ${host} ${path.slice(0, 60)} with ${named(jar) || 'no session'}`;
    this.chaos.sent.set(id, exchange);
    const response = await this.connections.send(site, { method, path, host, body,
      secure: this.isSecure, http2: this.isSecure && this.random.chance(0.7),
      headers: { ...same_site, 'X-Request': id, ...cookies(jar), ...headers }, ...this.departure(leaving) });
    this.handle(exchange, response, jar);
    if (kind === 'callback' && this.authorization(response)) this.judge.violation('a callback begins a login', exchange.text, this.history());
    return { ...response, sentAt: exchange.sentAt, exchange };
  }

  departure(probability) {
    if (!this.random.chance(probability)) return {};
    const max = this.random.pick([5, 60, 400]);
    return { leaveAfter: this.random.between(0, max), leaveBySession: this.random.chance(0.2) };
  }

  handle(exchange, response, jar) {
    exchange.response = response;
    exchange.text += ` -> ${outcome(response)}`;
    for (const line of response.setCookies) this.takeCookie(exchange, line, jar);
    this.note(exchange.text);
    this.chaos.count(response.status ? 'responses' : response.left ? 'left' : 'lost');
    this.judge.response(exchange);
  }

  takeCookie(exchange, line, jar) {
    const name = nameOf(line);
    const isSession = isOfSession(name) && !isDeletion(line);
    const label = isSession ? this.judge.labelFor(exchange, name) : undefined;
    if (isSession) exchange.text += ` sets ${name} of ${label.logins.map(({ id }) => id).join(' or ')}`;
    jar.take(line, label);
  }

  keepCopy() {
    this.copies.push(this.jar.copy());
    if (this.copies.length > max_copies) this.copies.splice(Math.floor(this.random.between(0, max_copies)), 1);
  }

  // --- pages

  anyPage() {
    const site = this.random.pick(Object.keys(sites));
    const host = this.random.pick(sites[site].hosts);
    return { site, host, page: pageAt(site, host, this.random.pick(sites[site].pages)) };
  }

  async open({ site, host, page }, options) {
    const response = await this.send('page', { site, host, page, path: page.path, leaving: 0.06, ...options });
    this.chaos.count('pages');
    const location = this.authorization(response);
    if (location && page.gate) this.judge.sentToLogIn(response.exchange, location);
    return { ...response, location };
  }

  // The URL of the authorization request to which a response redirects.
  authorization({ headers }) {
    const location = headers?.location;
    return location?.startsWith(this.provider.origin) && location.includes('/authorize?') ? new URL(location) : undefined;
  }

  page() {
    return this.open(this.anyPage());
  }

  // Many requests at once, so that one renews for all.
  async burst() {
    const at = this.random.chance(0.5) ? loginPageOf(this.anyBlock().name) : this.anyPage();
    const count = Math.floor(this.random.between(4, 11));
    await Promise.all(Array.from({ length: count }, () => this.open(at, { leaving: 0.15 })));
    this.chaos.count('bursts');
  }

  // Earlier cookies, or cookies of several browsers together.
  async copy() {
    const others = this.chaos.browsers;
    const jar = (this.random.pick([...this.copies, this.jar])).copy();
    if (this.random.chance(0.3)) {
      const other = this.random.pick(others);
      jar.takeSession(this.anyBlock(), this.random.pick([...other.copies, other.jar]));
    }
    const ended = jar.labels().filter(({ login }) => login?.ended).map(({ login }) => login.block.name);
    const at = ended.length && this.random.chance(0.7) ? loginPageOf(this.random.pick(ended)) : this.anyPage();
    await this.open(at, { jar });
    this.chaos.count('copies');
  }

  // --- logins

  anyBlock() {
    return blocks[this.random.pick(Object.keys(blocks))];
  }

  async login(block = this.anyBlock(), leaving = 0.1) {
    const page = loginPageOf(block.name);
    this.keepCopy();
    if (this.random.chance(0.7)) this.jar.forgetSession(block);
    this.jar.forgetRounds();
    const { location } = await this.open(page, { leaving: leaving / 3 });
    if (!location) return undefined;
    const login = this.provider.authorize(location, block, this.user);
    login.browser = this;
    this.remember(login);
    const response = await this.callBack(login, leaving);
    this.keepCopy();
    if (response.status !== 302) return undefined;
    this.chaos.count('logins');
    await this.open(page, { leaving: 0 });
    return login;
  }

  remember(login) {
    this.begun.push(login);
    if (this.begun.length > 6) this.begun.shift();
  }

  // After a lost connection the browser sends the callback again; a double click sends two at once.
  async callBack(login, leaving) {
    const twice = this.random.chance(leaving);
    const [response] = await Promise.all(Array.from({ length: twice ? 2 : 1 }, () => this.sendCallback(login, { leaving })));
    return response.status || this.random.chance(0.3) ? response : this.sendCallback(login, { leaving });
  }

  async sendCallback(login, { query = `code=${login.code}&state=${login.state}`, ...options } = {}) {
    const { block } = login;
    const { site, host } = loginPageOf(block.name);
    const response = await this.send('callback', { site, host, block, begun: [login],
      path: `${block.callback}?${query}&${this.issuerParameter(block)}`, ...options });
    if (response.status === 302) login.finishedAt ??= Date.now();
    return response;
  }

  // A callback without a login, of an earlier login, or with an error.
  async unexpectedCallback() {
    const login = this.begun.length ? this.random.pick(this.begun) : undefined;
    const block = login?.block ?? this.anyBlock();
    const { site, host } = loginPageOf(block.name);
    const query = login && this.random.chance(0.7) ?
      this.random.pick([`code=${login.code}&state=${login.state}`, `error=access_denied&state=${login.state}`, `code=x&state=${login.state}`]) :
      this.random.pick(['', 'code=x&state=y', 'code=x']);
    await this.send('callback', { site, host, block, begun: login ? [login] : [],
      path: `${block.callback}?${query}&${this.issuerParameter(block)}`, leaving: 0.1 });
    this.chaos.count('unexpected callbacks');
  }

  // Providers that share a callback are distinguished by it.
  issuerParameter(block) {
    return new URLSearchParams({ iss: this.provider.issuerOf(block.issuer) });
  }

  // --- logouts

  async logout(block = this.anyBlock(), leaving = 0.15) {
    const own = this.jar.cookieOf(block, this.isSecure)?.label?.login?.block ?? block;
    const { site, host } = loginPageOf(own.name);
    this.keepCopy();
    const post = this.random.chance(0.3) ? { method: 'POST', headers: form, body: '' } : {};
    const response = await this.send('logout', { site, host, block: own, path: own.logout, leaving, ...post });
    if (response.status && response.status < 400) {
      this.endOwn(response, own, 'a logout by the user');
      this.chaos.count('logouts');
    }
    return response;
  }

  ended(login, how, from) {
    if (this.judge.end(login, how, from)) login.browser.note(`${login.id} has been ended by ${how}`);
  }

  // Marks the login of the request's cookie as ended, unless its seal may have expired.
  endOwn({ exchange, sentAt }, block, how) {
    const label = exchange.jar.labelOf(block, exchange.isSecure);
    if (label?.login && sentAt - label.since < 1000 * block.timeout / 3) this.ended(label.login, how, sentAt);
  }

  // Marks logins as ended whose code the provider has redeemed.
  endAll(how, from, isMeant) {
    for (const login of this.provider.logins.values()) {
      if (login.redeemedAt < from && isMeant(login)) this.ended(login, login.finishedAt < from ? how : `${how} during the login`, from);
    }
  }

  async backChannel(login = this.anyLogin()) {
    if (!login) return;
    const { sid, sub, client, block } = login;
    const claims = this.random.pick([{ sub }, ...sid ? [{ sid }, { sid, sub }] : []]);
    const token = this.provider.logoutToken(block, claims);
    const { site } = loginPageOf(block.name);
    const send = () => this.send('back', { site, block, shows: [], jar: new Jar(), method: 'POST', path: block.back, headers: form,
      body: `logout_token=${token}`, leaving: 0.1 });
    const responses = await Promise.all(this.random.chance(0.2) ? [send(), send()] : [send()]);
    const good = responses.filter(({ status }) => status === 200);
    if (good.length === 0) return;
    this.chaos.count('back-channel logouts');
    this.endAll(`a back-channel logout by ${Object.keys(claims).join(' and ')}`, Math.min(...good.map(({ sentAt }) => sentAt)),
      (other) => other.client === client && (claims.sid ? other.sid === sid || (claims.sub && other.sub === sub && !other.sid) : other.sub === sub));
  }

  async frontChannel(login = this.anyLogin()) {
    if (!login?.sid) return;
    const { sid, client, block } = login;
    const jar = this.random.chance(0.8) ? new Jar() : this.jar;
    const query = new URLSearchParams({ iss: this.provider.issuerOf(block.issuer), sid });
    const response = await this.sendFrontChannel(block, { jar, path: `${block.front}?${query}` });
    if (response.status === 200) this.endAll('a front-channel logout', response.sentAt, (other) => other.client === client && other.sid === sid);
  }

  // By the cookie alone, unless providers share the path, which would be ambiguous.
  async ownFrontChannel() {
    const block = this.jar.cookieOf(this.anyBlock(), this.isSecure)?.label?.login?.block;
    if (!block || block.front === '/front/tenant') return;
    const response = await this.sendFrontChannel(block, { path: block.front, headers: { 'Sec-Fetch-Dest': 'iframe' } });
    if (response.status === 200) this.endOwn(response, block, 'a front-channel logout by cookie');
  }

  async sendFrontChannel(block, options) {
    const { site, host } = loginPageOf(block.name);
    const response = await this.send('front', { site, host, block, leaving: 0.1, ...options });
    if (response.status === 200) this.chaos.count('front-channel logouts');
    return response;
  }

  // A login of this browser or of another one.
  anyLogin() {
    const { begun } = this.random.chance(0.5) ? this : this.random.pick(this.chaos.browsers);
    return begun.length ? this.random.pick(begun) : undefined;
  }
}

function cookies(jar) {
  const header = jar.header();
  return header ? { Cookie: header } : {};
}

function named(jar) {
  return [...new Set(jar.labels().map(({ logins }) => logins.map(({ id }) => id).join(' or ')))].join(', ');
}

function outcome({ status, headers, left, late }) {
  if (!status) return left ? 'left' : late ? 'nothing' : 'connection ended';
  const shown = ['x-error', 'x-provider', 'x-login'].map((name) => headers[name]).filter((value) => value);
  return [status, headers.location?.slice(0, 50), ...shown].filter((word) => word).join(' ');
}
