// The rules, and their violations.
//
// 1. An identity is shown only to a request with its cookie, by its own provider, and not on pages without identity. A
//    cookie is identified by its name, which differs between http and https; a cookie set on http has no effect on https.
// 2. After a successful response to a logout, no earlier cookie shows an identity of that session to a later request.
//    Revocation records are in oidc_state_zone (except for stores in Redis). While the zone size changes, old and new workers
//    do not share memory: logouts and pages from that reload until a second after the last old worker has exited are not
//    judged. Nothing else is lost: sessions ended before such a reload stay ended.
// 3. A request gets an expected response in time (http.mjs). The connection ends without a response only if nginx reloads or
//    a worker was killed.
// 4. nginx and the sanitizers log no errors except for killed workers (log.mjs).
// 5. Memory and descriptors do not grow (growth.mjs).
// 6. Every kind of event happens, and after the faults every browser can log in, renew and log out (recovery.mjs).

import { appendFileSync } from 'node:fs';
import { Label, firstName, sessionName } from './jar.mjs';
import { blocks } from './environment.mjs';

const max_shown = 3;       // violations of one class on the terminal
const max_written = 20;    // and in the file; all are counted

const words = {
  page: /^(?:login_loop|store_(?:unreachable|timeout|answer)|upstream_(?:timeout|unreachable|answer|status|token))$/,
  callback: /^(?:state_(?:missing|invalid|foreign|used|cookie)|callback_malformed|provider_(?:invalid_grant|access_denied|server_error)|id_token_\w+|userinfo_subject|store_(?:unreachable|timeout|answer)|upstream_(?:timeout|unreachable|answer|status|token))$/,
  logout: /^(?:store_(?:unreachable|timeout|answer)|logout_malformed)$/,
  front: /^(?:store_(?:unreachable|timeout|answer)|logout_malformed|too_\w+|limit\w*)$/,
  back: /^(?:logout_token_used|store_(?:unreachable|timeout|answer)|upstream_(?:timeout|unreachable))$/,
};

const statuses = {
  page: [200, 302],
  callback: [200, 302],
  logout: [200, 302],
  front: [200],
  back: [200],
};

export class Judge {
  classes = new Map();    // name => number of violations
  windows = [];           // periods in which old and new workers share no zone
  resizes = [];           // the ends of those periods
  isOver = false;
  steadySince = 0;        // since then no worker had to exit; Infinity while some have to

  constructor(seed, file) {
    this.seed = seed;
    this.file = file;
  }

  get failed() {
    return this.classes.size > 0;
  }

  violation(name, text, history = []) {
    if (this.isOver) return;
    const times = (this.classes.get(name) ?? 0) + 1;
    this.classes.set(name, times);
    if (times > max_written) return;
    const lines = [`chaos: ${name}: ${text} (seed ${this.seed})`, ...history.map((line) => `    ${line}`)].join('\n');
    appendFileSync(this.file, `${new Date().toISOString()} ${lines}\n`);
    if (times <= max_shown) console.log(lines);
  }

  // --- zones that are not shared

  openWindow() {
    const window = { from: Date.now(), to: Infinity };
    this.windows.push(window);
    return () => {
      window.to = Date.now() + 1000;
      this.resizes.push(Date.now());
    };
  }

  isBlind(block, from) {
    return block.zone && this.hadWindow(from);
  }

  hadWindow(from) {
    return this.windows.some((window) => window.to >= from);
  }

  // --- logouts

  // A logout requested at `from` has just got a successful response.
  end(login, how, from) {
    if (login.ended || this.isBlind(login.block, from)) return false;
    login.ended = { at: Date.now(), how };
    return true;
  }

  // --- responses

  response(exchange) {
    const { response, browser } = exchange;
    if (response.late) this.violation('no response', exchange.text, browser.history());
    if (response.lost && exchange.sentAt > this.steadySince) this.violation('a connection ended', exchange.text, browser.history());
    if (response.late || response.lost || response.left) return;
    this.status(exchange);
    this.identity(exchange);
  }

  // A worker of the old zone cannot record logouts any more.
  status({ kind, response, text, browser, sentAt }) {
    const word = response.headers['x-error'];
    const isOld = word === 'store_full' && /^(?:logout|front|back)$/.test(kind) && this.hadWindow(sentAt);
    const isExpected = word ? (words[kind].test(word) || isOld) && response.status >= 400 : statuses[kind].includes(response.status);
    if (!isExpected) this.violation(`${kind}: a response of ${response.status} ${word ?? ''}`.trim(), text, browser.history());
  }

  identity(exchange) {
    const { page, shows, response: { headers, status } } = exchange;
    const shown = { provider: headers['x-provider'], sub: headers['x-sub'], login: headers['x-login'],
      nick: headers['x-nick'], access: headers['x-access'] };
    this.shown(exchange, shown, shows, 'page');
    this.shown(exchange, { sub: headers['x-app-sub'], login: headers['x-app-login'] }, shows, 'application');
    this.shown(exchange, { sub: headers['x-inner-sub'], login: headers['x-inner-login'] }, [page?.inner], 'subrequest');
    if (shows.length === 0 && headers['x-authenticated'] === '1') this.crossing(exchange, { authenticated: 1 }, 'no identity', 'page');
    if (page?.gate && page.shows && status === 200 && !shown.login) {
      this.violation(`identity lost at ${page.path}`, exchange.text, exchange.browser.history());
    }
  }

  // `names`: the providers that may be shown.
  shown(exchange, shown, names, where) {
    if (!shown.login && !shown.sub && !shown.nick && !shown.access) return;
    const login = exchange.provider.logins.get(shown.login);
    const label = login && exchange.jar.cookieOf(login.block, exchange.isSecure)?.label;
    const hasCookie = label?.logins.includes(login);
    if (!login || !names.includes(login.block.name)) {
      this.crossing(exchange, shown, names[0] ? `provider ${names.join(' or ')}` : 'a page without identity', where);
    } else if (!hasCookie && !exchange.begun.includes(login)) {
      this.crossing(exchange, shown, `a cookie of ${label?.logins.map(({ id }) => id) ?? 'no login'}`, where);
    } else if (!isWhole(shown, login, exchange.provider)) {
      this.crossing(exchange, shown, `the login ${login.id}, in part,`, where);
    } else {
      if (hasCookie) label.logins = [login];
      this.ended(exchange, login, where);
    }
  }

  // The redirect of a page to a login, and the identity in it.
  sentToLogIn(exchange, url) {
    const block = blocks[exchange.page.gate];
    const { client_id: client, hint } = Object.fromEntries(url.searchParams);
    if (client !== block.client || url.pathname !== `/${block.issuer}/authorize`) this.crossing(exchange, { client }, `the login of ${block.name}`, 'redirect');
    const label = exchange.jar.labelOf(block, exchange.isSecure);
    if (hint && !label?.logins.some(({ sub }) => sub === hint)) this.crossing(exchange, { hint }, `the login of ${block.name}`, 'redirect');
  }

  crossing(exchange, shown, to, where) {
    const what = Object.entries(shown).filter(([, value]) => value).map(([key, value]) => `${key} ${value}`).join(', ');
    const at = exchange.page?.path ?? exchange.kind;
    this.violation(`crossing in the ${where} at ${at}`, `${to} shows ${what}: ${exchange.text}`, exchange.browser.history());
  }

  ended(exchange, login, where) {
    const { sentAt, text, browser } = exchange;
    if (!login.ended || login.ended.at >= sentAt || this.isBlind(login.block, sentAt)) return;
    const resized = login.block.zone && this.resizes.some((at) => at >= login.ended.at);
    const name = resized ? 'back after a change of the zone size' : `back at ${login.block.name} after ${login.ended.how}`;
    const before = sentAt - login.ended.at;
    this.violation(name, `${login.id} is back in the ${where} ${before} ms after ${login.ended.how}: ${text}`,
      [...login.browser?.history().slice(-12) ?? [], '--', ...browser.history().slice(-12)]);
  }

  // On http a copy of an https cookie is accepted, too, and renewed under its name on http.
  replacedBy({ jar, isSecure }, name) {
    const first = firstName(name);
    const names = isSecure ? [name, first] : [name, first, `__Host-${first}`];
    return names.map((one) => jar.cookies.get(one)).find((cookie) => cookie);
  }

  // The logins for which a session cookie in a response was made: those under way, and those of the replaced cookie.
  labelFor(exchange, name) {
    const old = this.replacedBy(exchange, name)?.label;
    const begun = exchange.begun.filter((login) => login.block.cookie === sessionName(name));
    if (!old && begun.length === 0) {
      this.violation(`a cookie without a login at ${exchange.kind}`, `${name}: ${exchange.text}`, exchange.browser.history());
    }
    if (begun.length === 0) return old ?? new Label([]);
    return new Label([...new Set([...begun, ...old?.logins.filter(({ block }) => block === begun[0].block) ?? []])]);
  }
}

function isWhole({ provider, sub, nick, access }, login, { accessTokens }) {
  return sub === login.sub && (provider === undefined || provider === login.block.name) &&
    (!nick || nick === login.nick) && (!access || accessTokens.get(access) === login);
}
