// Runs the chaos test: starts the environment, lets browsers send requests without faults and with faults, checks that
// everything works after them, and stops what it has started.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startApplication } from './app.mjs';
import { Browser } from './browser.mjs';
import { sites } from './environment.mjs';
import { Faults } from './faults.mjs';
import { Growth } from './growth.mjs';
import { Judge } from './judge.mjs';
import { Logs } from './log.mjs';
import { Nginx, descriptors } from './nginx.mjs';
import { end, endAll, freePorts, hasEnded, start, until } from './processes.mjs';
import { Provider } from './provider.mjs';
import { Random } from './random.mjs';
import { checkRecovery } from './recovery.mjs';

const directory = new URL('../../build/chaos', import.meta.url).pathname;
const users = 10;            // each with two browsers
const max_requests = 150;    // a second
const share = { warm: 0.15, steady: 0.25, restarts: 0.6 };

const weights = { page: 30, burst: 6, copy: 14, login: 14, logout: 5, backChannel: 3, frontChannel: 2, ownFrontChannel: 1, unexpectedCallback: 4 };

// The minimum per minute; a tenth of it with a sanitizer.
const minimum = { responses: 2000, left: 50, logins: 200, logouts: 20, refreshes: 100, 'back-channel logouts': 10,
  'front-channel logouts': 5, copies: 100, 'unexpected callbacks': 20, kills: 5, reloads: 1, 'reloads with another zone': 1,
  'pauses of Redis': 3 };

class Chaos {
  sent = new Map();    // requests by their ids, for the access log
  counts = {};
  requests = 0;

  constructor(seconds, seed) {
    Object.assign(this, { seconds, seed, random: new Random(seed) });
    this.count = (what) => { this.counts[what] = (this.counts[what] ?? 0) + 1; };
  }

  async run() {
    await this.prepare();
    const loops = this.browse();
    await this.runPhases();
    this.stopped = true;
    await Promise.all(loops);
    await this.checkRecovery();
    await this.finish();
    return this.report();
  }

  async prepare() {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    this.judge = new Judge(this.seed, `${directory}/violations.log`);
    this.provider = new Provider(this.random.fork('provider'), (name, text, login) => this.reportViolation(name, text, login));
    await this.provider.start();
    this.certificate = makeCertificate();
    await this.startServers();
    this.logs = new Logs(directory, this.nginx, this.judge, this.sent);
    this.growth = new Growth(this.nginx, this.judge);
    this.browsers = Array.from({ length: 2 * users }, (_, i) =>
      new Browser(this, `browser-${i}`, `user-${i % users}`, `127.0.1.${i + 1}`));
  }

  async startServers() {
    this.application = await startApplication(this.random.fork('application'));
    const [redis, ...ports] = await freePorts(1 + 2 * Object.keys(sites).length);
    this.ports = Object.fromEntries(Object.keys(sites).map((name, i) => [name, { plain: ports[2 * i], secure: ports[2 * i + 1] }]));
    const words = { REDIS: redis, APP_PORT: this.application.address().port };
    for (const [name, { plain, secure }] of Object.entries(this.ports)) {
      words[`${name.toUpperCase()}_PORT`] = plain;
      words[`${name.toUpperCase()}_TLS_PORT`] = secure;
    }
    this.redis = start('redis-server', ['--port', redis, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', directory],
      { log: `${directory}/redis.log`, signal: 'KILL' });
    this.nginx = new Nginx(directory, words, (name) => this.provider.issuerOf(name));
    await this.nginx.start();
    await sleep(300);    // the master sends each worker a channel to the later ones
    this.idle = Math.max(...this.nginx.workers().map(descriptors));
  }

  // Violations found by the provider. Workers with different zones may use a code twice.
  reportViolation(name, text, login) {
    if (name === 'code' && this.judge.hadWindow(login.redeemedAt)) return;
    this.judge.violation(name, text, login?.browser?.history());
  }

  // --- the browsers

  browse() {
    this.provider.isReliable = false;
    return this.browsers.flatMap((browser) => [0, 1].map(() => this.loop(browser)));
  }

  async loop(browser) {
    while (!this.stopped) {
      await browser[browser.random.weighted(weights)]();
      await sleep(browser.random.between(0, 120));
    }
  }

  // Limits the rate to max_requests.
  async pace() {
    const now = Date.now();
    this.next = Math.max(this.next ?? now, now) + 1000 / max_requests;
    await sleep(Math.max(this.next - now, 0));
  }

  // --- phases

  async runPhases() {
    const faults = new Faults(this);
    const watch = setInterval(() => this.watch(), 2000);
    try {
      await faults.withoutRestarts(this.seconds * share.warm);
      await sleep(3000);    // for pending requests
      const before = this.growth.measure();
      await sleep(this.seconds * share.steady * 1000);
      this.growth.compare(before, this.seconds * share.steady);
      await faults.withRestarts(this.seconds * share.restarts / 3);
      const master = this.growth.master;
      await faults.withRestarts(this.seconds * share.restarts * 2 / 3);
      this.growth.compareMaster(master, this.counts.reloads);
    } finally {
      clearInterval(watch);
    }
  }

  watch() {
    this.logs.read();
    if (hasEnded(this.nginx.master)) throw new Error(`nginx ended, see ${directory}`);
    if (hasEnded(this.redis)) throw new Error(`redis-server ended, see ${directory}`);
  }

  async checkRecovery() {
    console.log('chaos: recovery');
    this.provider.isReliable = true;
    await sleep(1000);
    await checkRecovery(this.browsers, this.judge, this.count);
    for (const browser of this.browsers) browser.connections.close();
    await sleep(1000);
    this.growth.compareIdle(this.idle);
  }

  async finish() {
    if (!await end(this.nginx.master, 'SIGQUIT', 30)) this.judge.violation('nginx does not exit', 'within 30 s');
    this.logs.read();
    if (this.nginx.hasCore()) this.judge.violation('a core', `see ${directory}/cores`);
    await endAll();
    this.provider.stop();
    this.application.close();
  }

  report() {
    const counts = { ...this.counts, ...this.provider.counts };
    const scale = this.seconds / 60 * (this.nginx.sanitized ? 0.1 : 1);
    for (const [what, count] of Object.entries(minimum)) {
      const wanted = Math.floor(count * scale);
      if ((counts[what] ?? 0) < wanted) this.judge.violation('too little', `${counts[what] ?? 0} ${what}, not ${wanted}`);
    }
    console.log(`\n${Object.entries(counts).sort().map(([what, count]) => `${String(count).padStart(8)} ${what}`).join('\n')}`);
    for (const [name, times] of this.judge.classes) console.log(`chaos: ${times} times: ${name}`);
    console.log(`chaos: ${this.judge.failed ? 'failed' : 'passed'}, seed ${this.seed}`);
    return this.judge.failed ? 1 : 0;
  }
}

function makeCertificate() {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj',
    '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', `${directory}/site.key`, '-out', `${directory}/site.crt`],
  { stdio: 'ignore' });
  return readFileSync(`${directory}/site.crt`);
}

const [, , seconds = '60', seed = String(Date.now() % 1000000), ...rest] = process.argv;
if (!/^[1-9]\d*$/.test(seconds) || seconds < 20 || rest.length) {
  console.error('usage: t/chaos/run [SECONDS [SEED]], at least 20 seconds');
  process.exit(2);
}
console.log(`chaos: ${seconds} s, seed ${seed}`);

const chaos = new Chaos(Number(seconds), seed);

async function stop(error) {
  if (chaos.judge) chaos.judge.isOver = true;    // processes that end now are ended by us
  console.error(`chaos: ${error?.stack ?? error}, seed ${seed}`);
  await endAll();
  process.exit(1);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => stop('interrupted'));
process.once('uncaughtException', stop);
process.once('unhandledRejection', stop);
chaos.run().then((status) => process.exit(status), stop);
