// The rules, and what broke them.
//
// 1. An identity is shown to whoever has its cookie alone, by its own provider, and not where there is to be none. A
//    cookie is one by the name that it has on http or on https; what was set on http counts for nothing on https.
// 2. Once a logout was answered with success, no cookie of before gives an identity of that session to a request begun
//    after that answer. What was ended is known to oidc_state_zone (but for stores in Redis): while a zone gets another
//    size, old and new workers have no memory in common. So logouts and pages from that reload until a second after the
//    last old worker has ended are not judged. Nothing else is lost: what was ended before such a reload stays ended.
// 3. A request gets an answer that is one of those expected, in time (http.mjs). The connection ends without one only where
//    nginx reloads or a worker was killed.
// 4. nginx and the sanitizers complain of nothing but the workers that were killed (log.mjs).
// 5. Nothing grows (growth.mjs).
// 6. What is to happen does happen, and when the storm is over everybody can log in, renew and log out (calm.mjs).

import { appendFileSync } from 'node:fs';
import { Label, firstName, sessionName } from './jar.mjs';
import { blocks } from './world.mjs';

const most_shown = 3;      // of one class on the terminal
const most_written = 20;    // and in the file; all are counted

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
  classes = new Map();    // name => how often
  windows = [];           // in which old and new workers share no zone
  resizes = [];           // when they ended
  isOver = false;
  steadySince = 0;        // no worker was to end; Infinity where some are

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
    if (times > most_written) return;
    const lines = [`chaos: ${name}: ${text} (seed ${this.seed})`, ...history.map((line) => `    ${line}`)].join('\n');
    appendFileSync(this.file, `${new Date().toISOString()} ${lines}\n`);
    if (times <= most_shown) console.log(lines);
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

  // A logout that was asked for at `from` has just been answered.
  end(login, how, from) {
    if (login.ended || this.isBlind(login.block, from)) return false;
    login.ended = { at: Date.now(), how };
    return true;
  }

  // --- answers

  answer(exchange) {
    const { answer, browser } = exchange;
    if (answer.late) this.violation('no answer', exchange.text, browser.history());
    if (answer.lost && exchange.sentAt > this.steadySince) this.violation('a connection ended', exchange.text, browser.history());
    if (answer.late || answer.lost || answer.left) return;
    this.status(exchange);
    this.identity(exchange);
  }

  // A worker of before a new zone ends nobody's session any more.
  status({ kind, answer, text, browser, sentAt }) {
    const word = answer.headers['x-error'];
    const isOld = word === 'store_full' && /^(?:logout|front|back)$/.test(kind) && this.hadWindow(sentAt);
    const isExpected = word ? (words[kind].test(word) || isOld) && answer.status >= 400 : statuses[kind].includes(answer.status);
    if (!isExpected) this.violation(`${kind}: an answer of ${answer.status} ${word ?? ''}`.trim(), text, browser.history());
  }

  identity(exchange) {
    const { page, shows, answer: { headers, status } } = exchange;
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

  // `names` are the providers that may be shown.
  shown(exchange, shown, names, where) {
    if (!shown.login && !shown.sub && !shown.nick && !shown.access) return;
    const login = exchange.provider.logins.get(shown.login);
    const label = login && exchange.jar.cookieOf(login.block, exchange.isSecure)?.label;
    const hasCookie = label?.logins.includes(login);
    if (!login || !names.includes(login.block.name)) {
      this.crossing(exchange, shown, names[0] ? `provider ${names.join(' or ')}` : 'a page without identity', where);
    } else if (!hasCookie && !exchange.begun.includes(login)) {
      this.crossing(exchange, shown, `a cookie of ${label?.logins.map(({ id }) => id) ?? 'nobody'}`, where);
    } else if (!isWhole(shown, login, exchange.provider)) {
      this.crossing(exchange, shown, `the login ${login.id}, in part,`, where);
    } else {
      if (hasCookie) label.logins = [login];
      this.ended(exchange, login, where);
    }
  }

  // Where a page sends a browser that is to log in, and what it tells about it.
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
    const name = resized ? 'back after a zone of another size' : `back at ${login.block.name} after ${login.ended.how}`;
    const before = sentAt - login.ended.at;
    this.violation(name, `${login.id} is back in the ${where} ${before} ms after ${login.ended.how}: ${text}`,
      [...login.browser?.history().slice(-12) ?? [], '--', ...browser.history().slice(-12)]);
  }

  // On http a copy of a cookie of https counts, too, and is renewed under the name that it has there.
  replacedBy({ jar, isSecure }, name) {
    const first = firstName(name);
    const names = isSecure ? [name, first] : [name, first, `__Host-${first}`];
    return names.map((one) => jar.cookies.get(one)).find((cookie) => cookie);
  }

  // Whom a session's cookie in an answer is for: the login that has just begun, or that of the cookie it takes the place of.
  labelFor(exchange, name) {
    const old = this.replacedBy(exchange, name)?.label;
    const begun = exchange.begun.filter((login) => login.block.cookie === sessionName(name));
    if (!old && begun.length === 0) {
      this.violation(`a cookie from nowhere at ${exchange.kind}`, `${name}: ${exchange.text}`, exchange.browser.history());
    }
    if (begun.length === 0) return old ?? new Label([]);
    return new Label([...new Set([...begun, ...old?.logins.filter(({ block }) => block === begun[0].block) ?? []])]);
  }
}

function isWhole({ provider, sub, nick, access }, login, { accessTokens }) {
  return sub === login.sub && (provider === undefined || provider === login.block.name) &&
    (!nick || nick === login.nick) && (!access || accessTokens.get(access) === login);
}
