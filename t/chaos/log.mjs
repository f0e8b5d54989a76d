// nginx's logs: no alarming line in the error log except for killed workers, and no identity in the access log that the
// request does not have.

import { Tail } from './nginx.mjs';

const alarming = /\[(?:alert|crit|emerg)\]|exited on signal|Sanitizer|: runtime error:|internal error|no room|store_full/;

// Log lines of nginx's master about a killed worker and the channel to it
const of_killed = [
  /worker process (\d+) exited on signal 9/,
  /shared memory zone "[^"]*" was locked by (\d+)/,
];
const of_channel = /(?:sendmsg\(\)|kill\(\d+, \d+\)) failed/;

export class Logs {
  constructor(directory, nginx, judge, sent) {
    Object.assign(this, { nginx, judge, sent });
    this.errors = [new Tail(`${directory}/error.log`), new Tail(`${directory}/nginx.log`)];
    this.accesses = new Tail(`${directory}/access.log`);
  }

  read() {
    for (const tail of this.errors) for (const line of tail.lines()) this.error(line);
    for (const line of this.accesses.lines()) this.access(line);
    this.forget();
  }

  error(line) {
    const code = / worker process (\d+) exited with code (\d+)/.exec(line)?.[2];
    if (code && code !== '0') this.judge.violation('a worker failed', line);
    if (alarming.test(line) && !this.isOfKilled(line) && !this.isOfOldZone(line)) this.judge.violation('error log', line);
  }

  isOfKilled(line) {
    const killed = of_killed.map((pattern) => pattern.exec(line)?.[1]).find((pid) => pid);
    return killed ? this.nginx.killed.has(Number(killed)) : of_channel.test(line) && this.nginx.killed.size > 0;
  }

  isOfOldZone(line) {
    return /no room for another revocation/.test(line) && this.judge.hadWindow(Date.now() - 2000);
  }

  access(line) {
    const [, id, status, uri, provider, login] =
      /^(\S+) (\d+) (\S+) provider=(\S+) login=(\S+) sub=\S+\.$/.exec(line) ?? [];
    const exchange = this.sent.get(id);
    if (!exchange || login === '-' || exchange.isReported) return;
    const shows = shownAt(uri, exchange, status);
    const found = exchange.provider.logins.get(login);
    const known = (found && exchange.jar.cookieOf(found.block, exchange.isSecure)?.label?.logins) ?? [];
    const own = known.includes(found) || exchange.begun.includes(found);
    if (own && shows.includes(provider) && found.block.name === provider) return;
    exchange.isReported = true;    // once: internal redirects write several lines
    this.judge.violation(`crossing in the access log at ${exchange.page?.path ?? exchange.kind}`, `${line}: ${exchange.text}`,
      exchange.browser.history());
  }

  // Forgets requests after a minute: a request is logged soon after it has ended, if at all.
  forget() {
    const last = Date.now() - 60000;
    for (const [id, { sentAt }] of this.sent) {
      if (sentAt > last) return;
      this.sent.delete(id);
    }
  }
}

// The providers whose identity may be logged for a subrequest by auth_request and for the request itself. A request aborted
// at its gate may show the provider of that gate.
function shownAt(uri, { page, shows }, status) {
  if (uri.startsWith('/inner/')) return [page?.inner];
  return page?.gate && /^(?:000|499)$/.test(status) ? [...shows, page.gate] : shows;
}
