// The nginx under test: variations of its configuration, its processes and its log files.

import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readFileSync, readSync, readdirSync, writeFileSync } from 'node:fs';
import { children, hasEnded, kill, read, start, until } from './processes.mjs';
import { blockOf, blocks } from './environment.mjs';

const inner = 'auth_request_set $inner_sub $oidc_claim_sub; auth_request_set $inner_login $oidc_claim_login;';

export class Nginx {
  killed = new Set();    // workers killed by the test
  variation = { zone: '2m', memory: '4m', main: '' };

  constructor(directory, words, issuerOf) {
    this.directory = directory;
    this.template = readFileSync(new URL('nginx.conf.in', import.meta.url), 'utf8');
    this.binary = process.env.TEST_NGINX_BINARY ?? '/usr/sbin/nginx';
    this.sanitized = readFileSync(this.binary).includes('libasan');
    this.words = { ...words, DIR: directory, INNER: inner, PROVIDERS: providers(issuerOf), GLOBALS: this.globals() };
  }

  // If root starts nginx, its workers must be able to read the checkout.
  globals() {
    const top = new URL('../..', import.meta.url).pathname;
    const globals = process.env.TEST_NGINX_GLOBALS ?? `load_module ${top}build/ngx_http_oidc_module.so;`;
    const isRoot = process.getuid() === 0 && !/\buser\b/.test(globals);
    return isRoot ? `${globals}\nuser root root;` : globals;
  }

  configure(change = {}) {
    this.variation = { ...this.variation, ...change };
    const { zone, memory, main } = this.variation;
    const words = { ...this.words, ZONE: zone, MEMORY: memory, MAIN: main };
    writeFileSync(`${this.directory}/nginx.conf`, this.template.replace(/@(\w+)@/g, (_, word) => words[word]));
  }

  async start() {
    for (const name of ['cores', 'temp']) mkdirSync(`${this.directory}/${name}`, { recursive: true });
    this.configure();
    const { NGINX, ...env } = process.env;    // nginx would read inherited sockets from it
    this.master = start(this.binary, ['-p', this.directory, '-e', `${this.directory}/error.log`, '-c',
      `${this.directory}/nginx.conf`], { log: `${this.directory}/nginx.log`, env });
    const started = await until(30, () => hasEnded(this.master) || this.workers().length === 3);
    if (!started || hasEnded(this.master)) throw new Error(`nginx did not start, see ${this.directory}`);
  }

  workers() {
    return children(this.master.pid);
  }

  // Whether the worker is shutting down after a reload
  isEnding(worker) {
    return read(`/proc/${worker}/cmdline`)?.includes('shutting down') ?? false;
  }

  signal(name) {
    this.master.kill(name);
  }

  kill(worker) {
    this.killed.add(worker);
    kill(worker);
  }

  hasCore() {
    return readdirSync(`${this.directory}/cores`).length > 0;
  }
}

function providers(issuerOf) {
  return Object.entries(blocks)
    .map(([name, row]) => `    oidc_provider ${name} {\n${blockOf(row, issuerOf(row.issuer))}    }\n`)
    .join('\n');
}

// A process's own memory in KB, without files and zones
export function ownMemory(pid) {
  return Number(/^Anonymous:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1] ?? 0);
}

export function descriptors(pid) {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

// Reads the complete lines added to a file since the last call.
export class Tail {
  position = 0;
  rest = '';

  constructor(file) {
    this.file = file;
  }

  lines() {
    if (!existsSync(this.file)) return [];
    const lines = (this.rest + this.more()).split('\n');
    this.rest = lines.pop();
    return lines;
  }

  more() {
    const fd = openSync(this.file, 'r');
    try {
      const buffer = Buffer.alloc(fstatSync(fd).size - this.position);
      this.position += readSync(fd, buffer, 0, buffer.length, this.position);
      return buffer.toString('latin1');
    } finally {
      closeSync(fd);
    }
  }
}
