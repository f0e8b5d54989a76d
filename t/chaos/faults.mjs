// Faults of nginx, Redis and the provider while browsers send requests: one loop for each kind of fault.

import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './processes.mjs';
import { conditions } from './provider.mjs';

const max_exit = 30;    // seconds that an old worker may take to exit after a reload

// In this order, so that a short run has every kind, too.
const kinds = ['zone', 'same', 'store', 'zone', 'shutdown_timeout', 'same', 'zone', 'no_shutdown_timeout'];

const variations = {
  same: () => ({}),
  zone: (random, { zone }) => ({ zone: other(random, zone, ['1m', '2m', '3m', '8m']) }),
  store: (random, { memory }) => ({ memory: other(random, memory, ['1m', '2m', '4m']) }),
  shutdown_timeout: () => ({ main: 'worker_shutdown_timeout 1s;' }),
  no_shutdown_timeout: () => ({ main: '' }),
};

function other(random, now, all) {
  return random.pick(all.filter((one) => one !== now));
}

export class Faults {
  reloaded = 0;

  constructor({ nginx, redis, provider, judge, random, count }) {
    Object.assign(this, { nginx, redis, provider, judge, count, random: random.fork('faults') });
  }

  get isOver() {
    return Date.now() >= this.end;
  }

  // Faults that do not affect workers.
  async withoutRestarts(seconds) {
    this.end = Date.now() + seconds * 1000;
    await Promise.all([this.changes(), this.pauses()]);
  }

  async withRestarts(seconds) {
    this.end = Date.now() + seconds * 1000;
    this.judge.steadySince = Infinity;
    await Promise.all([this.changes(), this.pauses(), this.reloads(), this.kills()]);
    this.judge.steadySince = Date.now() + 500;
  }

  async every(min, max, act) {
    for (;;) {
      await sleep(Math.min(this.random.between(min, max) * 1000, Math.max(this.end - Date.now(), 0)));
      if (this.isOver) return;
      await act();
    }
  }

  async changes() {
    await this.every(0.5, 3, () => {
      this.provider.condition = this.random.pick([conditions.tired, conditions.slow, conditions.failing]);
    });
    this.provider.condition = conditions.good;
  }

  pauses() {
    return this.every(3, 9, async () => {
      this.redis.kill('SIGSTOP');
      await sleep(this.random.between(50, 900));
      this.redis.kill('SIGCONT');
      this.count('pauses of Redis');
    });
  }

  kills() {
    return this.every(1.5, 5, () => {
      const workers = this.nginx.workers();
      if (workers.length === 0) return;
      this.nginx.kill(this.random.pick(workers));
      this.count('kills');
    });
  }

  reloads() {
    return this.every(2, 6, () => this.reload(kinds[this.reloaded++ % kinds.length]));
  }

  async reload(kind) {
    const before = this.nginx.variation;
    const old = this.nginx.workers();
    this.nginx.configure(variations[kind](this.random, before));
    const close = before.zone !== this.nginx.variation.zone ? this.judge.openWindow() : () => {};
    this.nginx.signal('SIGHUP');
    this.count(kind === 'zone' ? 'reloads with another zone' : 'reloads');
    await this.exits(old);
    close();
  }

  // Kills an old worker that does not exit, since it would block later reloads.
  async exits(old) {
    const remaining = () => this.nginx.workers().filter((worker) => old.includes(worker) || this.nginx.isEnding(worker));
    if (await until(max_exit, () => remaining().length === 0)) return;
    for (const worker of remaining()) {
      this.judge.violation('a worker does not exit', `worker ${worker}, ${max_exit} s after a reload`);
      this.nginx.kill(worker);
    }
    await until(5, () => remaining().length === 0);
  }
}
