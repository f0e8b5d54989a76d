// Choices that a seed repeats. Every actor has a sequence of its own, or the timing of one would change those of all.

import { createHash } from 'node:crypto';

export class Random {
  constructor(seed) {
    this.seed = String(seed);
    this.state = createHash('sha256').update(this.seed).digest().readUInt32LE(0);
  }

  fork(name) {
    return new Random(`${this.seed} ${name}`);
  }

  // mulberry32: below 1.
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

  between(least, most) {
    return least + this.next() * (most - least);
  }

  pick(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  // A key of a table of weights.
  weighted(table) {
    const entries = Object.entries(table);
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      left -= weight;
      if (left < 0) return key;
    }
    return entries[0][0];
  }
}
