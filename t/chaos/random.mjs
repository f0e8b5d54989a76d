// Random choices, repeatable by a seed. Every actor has its own sequence, so that the timing of one does not affect the others.

import { createHash } from 'node:crypto';

export class Random {
  constructor(seed) {
    this.seed = String(seed);
    this.state = createHash('sha256').update(this.seed).digest().readUInt32LE(0);
  }

  fork(name) {
    return new Random(`${this.seed} ${name}`);
  }

  // mulberry32; from 0 to below 1
  next() {
    this.state = (this.state + 0x6D2B79F5) | 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  chance(probability) {
    return this.next() < probability;
  }

  between(min, max) {
    return min + this.next() * (max - min);
  }

  pick(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  // A key of a table of weights
  weighted(table) {
    const entries = Object.entries(table);
    let rest = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      rest -= weight;
      if (rest < 0) return key;
    }
    return entries[0][0];
  }
}
