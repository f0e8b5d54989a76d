// Memory and descriptors, compared between workers of the same age: a long time without a reload and without a kill has a
// beginning, after which all is warm, and an end. The provider and Redis answer soon meanwhile: requests that wait take
// memory, and what the C library once had for many of them it keeps. The master is watched while it reloads.

import { descriptors, ownMemory } from './nginx.mjs';

const most_of_worker = 6144;    // KB: a request that waits for another one's renewal in Redis takes some 300 a second
const most_of_master = 4096;
const most_descriptors = 40;    // of a worker in quiet: those to Redis may stay for a minute

export class Growth {
  constructor(nginx, judge) {
    Object.assign(this, { nginx, judge });
  }

  measure() {
    return new Map(this.nginx.workers().map((pid) => [pid, { memory: ownMemory(pid), descriptors: descriptors(pid) }]));
  }

  get master() {
    const { pid } = this.nginx.master;
    return { memory: ownMemory(pid), descriptors: descriptors(pid) };
  }

  // A sanitizer keeps freed memory.
  compare(before, seconds) {
    const now = this.measure();
    for (const [pid, first] of before) {
      const last = now.get(pid);
      if (!last) {
        this.judge.violation('growth', `worker ${pid} has ended by itself`);
        continue;
      }
      const growth = last.memory - first.memory;
      console.log(`chaos: worker ${pid} of ${first.memory} KB grew by ${growth} KB in ${Math.round(seconds)} s, ${last.descriptors} descriptors`);
      if (!this.nginx.sanitized && growth > most_of_worker) this.judge.violation('growth', `worker ${pid} grew by ${growth} KB`);
    }
  }

  compareMaster(before, reloads) {
    const now = this.master;
    const growth = now.memory - before.memory;
    console.log(`chaos: the master of ${before.memory} KB grew by ${growth} KB and ${now.descriptors - before.descriptors} descriptors in ${reloads} reloads`);
    if (!this.nginx.sanitized && growth > most_of_master) this.judge.violation('growth', `the master grew by ${growth} KB`);
    if (now.descriptors - before.descriptors > 8) this.judge.violation('growth', `the master holds ${now.descriptors} descriptors, ${before.descriptors} before`);
  }

  // When all clients have gone.
  compareIdle(idle) {
    for (const [pid, { descriptors: held }] of this.measure()) {
      if (held > idle + most_descriptors) this.judge.violation('growth', `worker ${pid} holds ${held} descriptors in quiet, ${idle} at the start`);
    }
  }
}
