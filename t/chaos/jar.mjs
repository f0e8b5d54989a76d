// The cookies of a browser. Each session cookie has a label with the login for which it was made, so that the identity that
// a cookie may show is known even if cookies are mixed, copied or kept.

import { blocks } from './environment.mjs';

// The login of a session cookie; or several possible ones if the response did not tell, until one is shown.
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

  // The cookie that nginx reads as this block's session: on https only the one with the prefix.
  cookieOf(block, isSecure) {
    const plain = isSecure ? undefined : this.cookies.get(block.cookie);
    return this.cookies.get(prefix + block.cookie) ?? plain;
  }

  labelOf(block, isSecure) {
    const label = this.cookieOf(block, isSecure)?.label;
    return label?.logins.some((login) => login.block === block) ? label : undefined;
  }

  // The labels of all session cookies
  labels() {
    return [...this.cookies.values()].map(({ label }) => label).filter((label) => label);
  }

  // `label`: the label of a session cookie.
  take(line, label) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    if (isDeletion(line)) this.cookies.delete(name);
    else this.cookies.set(name, { value, label: isOfSession(name) ? label : undefined });
  }

  forgetSession(block) {
    this.forget((name) => sessionName(name) === block.cookie);
  }

  // As if the last login were more than a minute ago.
  forgetRounds() {
    this.forget((name) => name.endsWith('_login_rounds'));
  }

  forget(isMeant) {
    for (const name of [...this.cookies.keys()]) if (isMeant(name)) this.cookies.delete(name);
  }

  // Takes the session of one block from another jar.
  takeSession(block, other) {
    this.forgetSession(block);
    for (const [name, cookie] of other.cookies) if (sessionName(name) === block.cookie) this.cookies.set(name, cookie);
  }
}

const prefix = '__Host-';
const names = new Set(Object.values(blocks).map((block) => block.cookie));

// The configured cookie name, without the https prefix and the chunk number
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
