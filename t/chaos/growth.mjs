// Growth of memory and descriptors. Workers are compared at the start and the end of a long phase without reloads and kills,
// after a warm-up. The provider and Redis respond soon in that phase, since waiting requests take memory that the C library
// keeps. The master is compared while it reloads.

import { descriptors, ownMemory } from './nginx.mjs';

const max_worker_growth = 6144;    // KB: a request that waits for a renewal in Redis takes about 300 KB a second
const max_master_growth = 4096;    // KB
const max_descriptors = 40;        // of an idle worker: connections to Redis may stay open for a minute

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
        this.judge.violation('growth', `worker ${pid} exited by itself`);
        continue;
      }
      const growth = last.memory - first.memory;
      console.log(`chaos: worker ${pid} of ${first.memory} KB grew by ${growth} KB in ${Math.round(seconds)} s, ${last.descriptors} descriptors`);
      if (!this.nginx.sanitized && growth > max_worker_growth) this.judge.violation('growth', `worker ${pid} grew by ${growth} KB`);
    }
  }

  compareMaster(before, reloads) {
    const now = this.master;
    const growth = now.memory - before.memory;
    console.log(`chaos: the master of ${before.memory} KB grew by ${growth} KB and ${now.descriptors - before.descriptors} descriptors in ${reloads} reloads`);
    if (!this.nginx.sanitized && growth > max_master_growth) this.judge.violation('growth', `the master grew by ${growth} KB`);
    if (now.descriptors - before.descriptors > 8) this.judge.violation('growth', `the master has ${now.descriptors} descriptors, ${before.descriptors} before`);
  }

  // Called when all clients have closed their connections.
  compareIdle(idle) {
    for (const [pid, { descriptors: open }] of this.measure()) {
      if (open > idle + max_descriptors) this.judge.violation('growth', `worker ${pid} has ${open} descriptors when idle, ${idle} at the start`);
    }
  }
}
