// The cookies of a browser. Each value of a session's cookie carries a label of its own: which login it was made for. So
// whatever is mixed, copied or kept for later, it is known whom each cookie may show.

import { blocks } from './world.mjs';

// What a session's cookie was given for: one login, or, where an answer left that open, one of several until one is seen.
export class Label {
  constructor(logins) {
    this.logins = logins;
    this.since = Date.now();
  }

  get login() {
    return this.logins.length === 1 ? this.logins[0] : undefined;
  }
}

export class Jar {
  constructor(cookies = new Map()) {
    this.cookies = cookies;    // name => { value, label }
  }

  copy() {
    return new Jar(new Map(this.cookies));
  }

  header() {
    return [...this.cookies].map(([name, { value }]) => `${name}=${value}`).join('; ');
  }

  // The cookie that nginx takes for this block's session: on https that with the prefix alone.
  cookieOf(block, isSecure) {
    const plain = isSecure ? undefined : this.cookies.get(block.cookie);
    return this.cookies.get(prefix + block.cookie) ?? plain;
  }

  labelOf(block, isSecure) {
    const label = this.cookieOf(block, isSecure)?.label;
    return label?.logins.some((login) => login.block === block) ? label : undefined;
  }

  // All that are in here, of whatever block.
  labels() {
    return [...this.cookies.values()].map(({ label }) => label).filter((label) => label);
  }

  // `label` says which login the cookie of a session is for.
  take(line, label) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    if (isDeletion(line)) this.cookies.delete(name);
    else this.cookies.set(name, { value, label: isOfSession(name) ? label : undefined });
  }

  forgetSession(block) {
    this.forget((name) => sessionName(name) === block.cookie);
  }

  // A browser whose every login is a minute after the last one.
  forgetRounds() {
    this.forget((name) => name.endsWith('_login_rounds'));
  }

  forget(isMeant) {
    for (const name of [...this.cookies.keys()]) if (isMeant(name)) this.cookies.delete(name);
  }

  // One block's session out of another jar.
  takeSession(block, other) {
    this.forgetSession(block);
    for (const [name, cookie] of other.cookies) if (sessionName(name) === block.cookie) this.cookies.set(name, cookie);
  }
}

const prefix = '__Host-';
const names = new Set(Object.values(blocks).map((block) => block.cookie));

// As the block has it: without the prefix of https and the number of a further chunk.
export function sessionName(name) {
  return firstName(name).replace(/^__Host-/, '');
}

export function firstName(name) {
  return name.replace(/\.\d$/, '');
}

export function isOfSession(name) {
  return names.has(sessionName(name));
}

export function isDeletion(line) {
  return /; *max-age=0\b/i.test(line);
}

export function nameOf(line) {
  return line.slice(0, line.indexOf('='));
}
