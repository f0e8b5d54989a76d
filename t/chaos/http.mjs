// The connections of one browser: HTTP/1.1 with keep-alive, with or without TLS, and HTTP/2 over TLS with concurrent
// requests. Any request can be aborted: HTTP/1.1 closes the connection, HTTP/2 resets the stream or closes the connection.

import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';

const max_seconds = 15;    // of a request
const max_idle = 5000;     // ms: a longer idle connection may belong to a worker that is about to exit

export class Connections {
  constructor(ports, certificate, address) {
    this.ports = ports;
    this.certificate = certificate;
    this.address = address;    // on loopback; each browser has its own
    const settings = { keepAlive: true, maxSockets: 12, timeout: max_idle };
    this.plain = { request: http.request, agent: new http.Agent(settings) };
    this.secure = { request: https.request, agent: new https.Agent({ ...settings, ca: certificate, servername: 'localhost' }) };
    this.sessions = new Map();
    this.left = new WeakSet();
  }

  // Resolves to { status, headers, setCookies }, or { lost } if the connection ended, { left } if we aborted, { late }.
  send(site, request) {
    return new Promise((resolve) => {
      const exchange = new Exchange(request, resolve);
      if (request.http2) this.sendHttp2(site, request, exchange);
      else this.sendHttp1(site, request, exchange);
    });
  }

  sendHttp1(site, { secure, method, path, host, headers, body }, exchange) {
    const scheme = secure ? 'secure' : 'plain';
    const { request, agent } = this[scheme];
    const req = request({ host: '127.0.0.1', port: this.ports[site][scheme], localAddress: this.address, agent,
      method, path, headers: { Host: host, ...headers } });
    exchange.leave = () => { req.destroy(); };
    req.on('response', (res) => {
      res.on('end', () => exchange.finish({ status: res.statusCode, headers: res.headers }));
      res.on('error', () => exchange.finish({ lost: true }));
      res.resume();
    });
    req.on('error', () => exchange.finish({ lost: true }));
    req.end(body);
  }

  sendHttp2(site, { method, path, host, headers, body, leaveBySession }, exchange) {
    const session = this.session(site);
    let stream;
    try {
      stream = session.request({ ':method': method, ':path': path, ':scheme': 'https', ':authority': host, ...lower(headers) });
    } catch {
      this.sessions.delete(site);
      exchange.finish({ lost: true });
      return;
    }
    exchange.leave = () => {
      if (!leaveBySession) return stream.close(http2.constants.NGHTTP2_CANCEL);
      this.left.add(session);    // with all its other streams
      return session.destroy();
    };
    let response;
    stream.on('response', (all) => { response = { status: all[':status'], headers: all }; });
    stream.on('error', () => {});
    stream.on('close', () => {
      const isWhole = response && stream.rstCode === 0;
      exchange.finish(isWhole ? response : this.left.has(session) ? { left: true } : { lost: true });
    });
    stream.resume();
    stream.end(body);
  }

  session(site) {
    const old = this.sessions.get(site);
    if (old && !old.closed && !old.destroyed) return old;
    const session = http2.connect(`https://127.0.0.1:${this.ports[site].secure}`,
      { ca: this.certificate, servername: 'localhost', localAddress: this.address });
    session.on('error', () => {});
    session.setTimeout(max_idle, () => { session.close(); });
    session.on('goaway', () => { this.sessions.delete(site); });
    this.sessions.set(site, session);
    return session;
  }

  close() {
    this.plain.agent.destroy();
    this.secure.agent.destroy();
    for (const session of this.sessions.values()) session.destroy();
    this.sessions.clear();
  }
}

// Finishes once: with a response, a lost connection, an abort or a timeout.
class Exchange {
  constructor({ leaveAfter }, resolve) {
    this.resolve = resolve;
    this.leave = () => {};
    this.timers = [setTimeout(() => this.giveUp('late'), max_seconds * 1000)];
    if (leaveAfter !== undefined) this.timers.push(setTimeout(() => this.giveUp('left'), leaveAfter));
  }

  giveUp(why) {
    this.finish({ [why]: true });
    this.leave();
  }

  finish(response) {
    for (const timer of this.timers) clearTimeout(timer);
    const lines = response.headers?.['set-cookie'] ?? [];
    this.resolve({ ...response, setCookies: [lines].flat() });
  }
}

function lower(headers) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
