// A browser, and what it may do: each action is a method. All requests go through send(), where their answers are judged.

import { Connections } from './http.mjs';
import { Jar, isDeletion, isOfSession, nameOf } from './jar.mjs';
import { blocks, homeOf, pageAt, sites } from './world.mjs';

const most_remembered = 60;
const most_copies = 12;
const same_site = { 'Sec-Fetch-Site': 'same-origin', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' };
const form = { 'Content-Type': 'application/x-www-form-urlencoded' };

let serial = 0;

export class Browser {
  jar = new Jar();
  copies = [];       // jars of before
  begun = [];        // logins of late
  lines = [];

  constructor(chaos, name, person, address) {
    Object.assign(this, { chaos, name, person, judge: chaos.judge, provider: chaos.provider, random: chaos.random.fork(name) });
    this.connections = new Connections(chaos.ports, chaos.certificate, address);
    this.isSecure = this.random.chance(0.7);    // always on https, or always on http: its cookies differ
  }

  history() {
    return this.lines.map((line) => `${this.name} ${line}`);
  }

  note(line) {
    this.lines.push(`${new Date().toISOString().slice(11, 23)} ${line}`);
    if (this.lines.length > most_remembered) this.lines.shift();
  }

  // --- a request; an answer of the module's own paths may show whatever session the request has

  async send(kind, { site, host = 'localhost', method = 'GET', path, headers, body, page, block, begun = [], jar = this.jar,
    shows = page ? [page.shows].filter((name) => name) : Object.keys(blocks), leaving = 0 }) {
    await this.chaos.pace();
    const id = `${kind}-${++serial}`;
    const exchange = { id, kind, page, block, begun, shows, browser: this, provider: this.provider, isSecure: this.isSecure,
      jar: jar.copy(), sentAt: Date.now() };
    exchange.text = `${id} ${this.name} ${method} ${host} ${path.slice(0, 60)} with ${named(jar) || 'no session'}`;
    this.chaos.sent.set(id, exchange);
    const answer = await this.connections.send(site, { method, path, host, body,
      secure: this.isSecure, http2: this.isSecure && this.random.chance(0.7),
      headers: { ...same_site, 'X-Request': id, ...cookies(jar), ...headers }, ...this.departure(leaving) });
    this.settle(exchange, answer, jar);
    if (kind === 'callback' && this.authorization(answer)) this.judge.violation('a callback begins a login', exchange.text, this.history());
    return { ...answer, sentAt: exchange.sentAt, exchange };
  }

  departure(probability) {
    if (!this.random.chance(probability)) return {};
    const most = this.random.pick([5, 60, 400]);
    return { leaveAfter: this.random.between(0, most), leaveBySession: this.random.chance(0.2) };
  }

  settle(exchange, answer, jar) {
    exchange.answer = answer;
    exchange.text += ` -> ${outcome(answer)}`;
    for (const line of answer.setCookies) this.takeCookie(exchange, line, jar);
    this.note(exchange.text);
    this.chaos.count(answer.status ? 'answers' : answer.left ? 'left' : 'lost');
    this.judge.answer(exchange);
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
    if (this.copies.length > most_copies) this.copies.splice(Math.floor(this.random.between(0, most_copies)), 1);
  }

  // --- pages

  anyPage() {
    const site = this.random.pick(Object.keys(sites));
    const host = this.random.pick(sites[site].hosts);
    return { site, host, page: pageAt(site, host, this.random.pick(sites[site].pages)) };
  }

  async visit({ site, host, page }, options) {
    const answer = await this.send('page', { site, host, page, path: page.path, leaving: 0.06, ...options });
    this.chaos.count('pages');
    const location = this.authorization(answer);
    if (location && page.gate) this.judge.sentToLogIn(answer.exchange, location);
    return { ...answer, location };
  }

  // The provider's URL that an answer leads to.
  authorization({ headers }) {
    const location = headers?.location;
    return location?.startsWith(this.provider.origin) && location.includes('/authorize?') ? new URL(location) : undefined;
  }

  page() {
    return this.visit(this.anyPage());
  }

  // Many at once, so that one renews for all.
  async burst() {
    const at = this.random.chance(0.5) ? homeOf(this.anyBlock().name) : this.anyPage();
    const count = Math.floor(this.random.between(4, 11));
    await Promise.all(Array.from({ length: count }, () => this.visit(at, { leaving: 0.15 })));
    this.chaos.count('bursts');
  }

  // The cookies of before, or those of several browsers together.
  async copy() {
    const others = this.chaos.browsers;
    const jar = (this.random.pick([...this.copies, this.jar])).copy();
    if (this.random.chance(0.3)) {
      const other = this.random.pick(others);
      jar.takeSession(this.anyBlock(), this.random.pick([...other.copies, other.jar]));
    }
    const mostEnded = jar.labels().filter(({ login }) => login?.ended).map(({ login }) => login.block.name);
    const at = mostEnded.length && this.random.chance(0.7) ? homeOf(this.random.pick(mostEnded)) : this.anyPage();
    await this.visit(at, { jar });
    this.chaos.count('copies');
  }

  // --- logins

  anyBlock() {
    return blocks[this.random.pick(Object.keys(blocks))];
  }

  async login(block = this.anyBlock(), leaving = 0.1) {
    const home = homeOf(block.name);
    this.keepCopy();
    if (this.random.chance(0.7)) this.jar.forgetSession(block);
    this.jar.forgetRounds();
    const { location } = await this.visit(home, { leaving: leaving / 3 });
    if (!location) return undefined;
    const login = this.provider.authorize(location, block, this.person);
    login.browser = this;
    this.remember(login);
    const answer = await this.callBack(login, leaving);
    this.keepCopy();
    if (answer.status !== 302) return undefined;
    this.chaos.count('logins');
    await this.visit(home, { leaving: 0 });
    return login;
  }

  remember(login) {
    this.begun.push(login);
    if (this.begun.length > 6) this.begun.shift();
  }

  // A browser whose connection broke sends the callback again, and a double click sends two at once.
  async callBack(login, leaving) {
    const twice = this.random.chance(leaving);
    const [answer] = await Promise.all(Array.from({ length: twice ? 2 : 1 }, () => this.sendCallback(login, { leaving })));
    return answer.status || this.random.chance(0.3) ? answer : this.sendCallback(login, { leaving });
  }

  async sendCallback(login, { query = `code=${login.code}&state=${login.state}`, ...options } = {}) {
    const { block } = login;
    const { site, host } = homeOf(block.name);
    const answer = await this.send('callback', { site, host, block, begun: [login],
      path: `${block.callback}?${query}&${this.issuerParameter(block)}`, ...options });
    if (answer.status === 302) login.finishedAt ??= Date.now();
    return answer;
  }

  // A callback that nothing belongs to, or one of before, or one that failed.
  async stray() {
    const login = this.begun.length ? this.random.pick(this.begun) : undefined;
    const block = login?.block ?? this.anyBlock();
    const { site, host } = homeOf(block.name);
    const query = login && this.random.chance(0.7) ?
      this.random.pick([`code=${login.code}&state=${login.state}`, `error=access_denied&state=${login.state}`, `code=x&state=${login.state}`]) :
      this.random.pick(['', 'code=x&state=y', 'code=x']);
    await this.send('callback', { site, host, block, begun: login ? [login] : [],
      path: `${block.callback}?${query}&${this.issuerParameter(block)}`, leaving: 0.1 });
    this.chaos.count('stray callbacks');
  }

  // Providers that share a callback are told apart by it.
  issuerParameter(block) {
    return new URLSearchParams({ iss: this.provider.issuerOf(block.issuer) });
  }

  // --- logouts

  async logout(block = this.anyBlock(), leaving = 0.15) {
    const own = this.jar.cookieOf(block, this.isSecure)?.label?.login?.block ?? block;
    const { site, host } = homeOf(own.name);
    this.keepCopy();
    const post = this.random.chance(0.3) ? { method: 'POST', headers: form, body: '' } : {};
    const answer = await this.send('logout', { site, host, block: own, path: own.logout, leaving, ...post });
    if (answer.status && answer.status < 400) {
      this.endOwn(answer, own, 'a logout by the user');
      this.chaos.count('logouts');
    }
    return answer;
  }

  ended(login, how, from) {
    if (this.judge.end(login, how, from)) login.browser.note(`${login.id} has been ended by ${how}`);
  }

  // Whose cookie the request had, unless its seal might be one that has expired.
  endOwn({ exchange, sentAt }, block, how) {
    const label = exchange.jar.labelOf(block, exchange.isSecure);
    if (label?.login && sentAt - label.since < 1000 * block.timeout / 3) this.ended(label.login, how, sentAt);
  }

  // What the provider ends are those whose code it has redeemed: nginx knew of them.
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
    const { site } = homeOf(block.name);
    const send = () => this.send('back', { site, block, shows: [], jar: new Jar(), method: 'POST', path: block.back, headers: form,
      body: `logout_token=${token}`, leaving: 0.1 });
    const answers = await Promise.all(this.random.chance(0.2) ? [send(), send()] : [send()]);
    const good = answers.filter(({ status }) => status === 200);
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
    const answer = await this.sendFrontChannel(block, { jar, path: `${block.front}?${query}` });
    if (answer.status === 200) this.endAll('a front-channel logout', answer.sentAt, (other) => other.client === client && other.sid === sid);
  }

  // By the cookie alone. Where providers share the path nothing says which of them is meant.
  async ownFrontChannel() {
    const block = this.jar.cookieOf(this.anyBlock(), this.isSecure)?.label?.login?.block;
    if (!block || block.front === '/front/tenant') return;
    const answer = await this.sendFrontChannel(block, { path: block.front, headers: { 'Sec-Fetch-Dest': 'iframe' } });
    if (answer.status === 200) this.endOwn(answer, block, 'a front-channel logout by cookie');
  }

  async sendFrontChannel(block, options) {
    const { site, host } = homeOf(block.name);
    const answer = await this.send('front', { site, host, block, leaving: 0.1, ...options });
    if (answer.status === 200) this.chaos.count('front-channel logouts');
    return answer;
  }

  // Of this browser or of another one.
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
