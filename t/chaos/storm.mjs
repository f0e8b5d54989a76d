// What happens to nginx, to Redis and at the provider while browsers browse: a loop each, until it is told to stop.

import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './processes.mjs';
import { moods } from './provider.mjs';

const longest_end = 30;    // seconds that an old worker may take to end after a reload

// In turn, so that a short run has each, too.
const kinds = ['zone', 'same', 'store', 'zone', 'impatient', 'same', 'zone', 'patient'];

const variations = {
  same: () => ({}),
  zone: (random, { zone }) => ({ zone: other(random, zone, ['1m', '2m', '3m', '8m']) }),
  store: (random, { memory }) => ({ memory: other(random, memory, ['1m', '2m', '4m']) }),
  impatient: () => ({ main: 'worker_shutdown_timeout 1s;' }),
  patient: () => ({ main: '' }),
};

function other(random, now, all) {
  return random.pick(all.filter((one) => one !== now));
}

export class Storm {
  reloaded = 0;

  constructor({ nginx, redis, provider, judge, random, count }) {
    Object.assign(this, { nginx, redis, provider, judge, count, random: random.fork('storm') });
  }

  get isOver() {
    return Date.now() >= this.end;
  }

  // What leaves workers as they are.
  async mild(seconds) {
    this.end = Date.now() + seconds * 1000;
    await Promise.all([this.moods(), this.pauses()]);
  }

  async wild(seconds) {
    this.end = Date.now() + seconds * 1000;
    this.judge.steadySince = Infinity;
    await Promise.all([this.moods(), this.pauses(), this.reloads(), this.kills()]);
    this.judge.steadySince = Date.now() + 500;
  }

  async every(least, most, act) {
    for (;;) {
      await sleep(Math.min(this.random.between(least, most) * 1000, Math.max(this.end - Date.now(), 0)));
      if (this.isOver) return;
      await act();
    }
  }

  async moods() {
    await this.every(0.5, 3, () => {
      this.provider.mood = this.random.pick([moods.tired, moods.slow, moods.ill]);
    });
    this.provider.mood = moods.fair;
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
    await this.ends(old);
    close();
  }

  // A worker that does not end stands in the way of all that follows.
  async ends(old) {
    const left = () => this.nginx.workers().filter((worker) => old.includes(worker) || this.nginx.isEnding(worker));
    if (await until(longest_end, () => left().length === 0)) return;
    for (const worker of left()) {
      this.judge.violation('a worker does not end', `worker ${worker}, ${longest_end} s after a reload`);
      this.nginx.kill(worker);
    }
    await until(5, () => left().length === 0);
  }
}
