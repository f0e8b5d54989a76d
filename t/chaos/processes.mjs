// Starts and ends child processes. If this process is killed, the kernel ends them.

import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const running = new Set();

export function start(command, args, { log, signal = 'TERM', env = process.env }) {
  const out = openSync(log, 'w');
  const child = spawn('setpriv', ['--pdeathsig', signal, command, ...args], { env, stdio: ['ignore', out, out] });
  running.add(child);
  child.on('exit', () => { running.delete(child); });
  child.on('error', (error) => { throw error; });
  return child;
}

export function hasEnded(child) {
  return child.exitCode !== null || child.signalCode !== null;
}

// Returns false if it and its children had to be killed.
export async function end(child, signal = 'SIGTERM', seconds = 10) {
  if (hasEnded(child)) return true;
  child.kill('SIGCONT');
  child.kill(signal);
  if (await until(seconds, () => hasEnded(child))) return true;
  const all = children(child.pid);
  child.kill('SIGKILL');
  for (const pid of all) kill(pid);
  await until(5, () => hasEnded(child));
  return false;
}

// Empty for a process that has been reaped
export function children(pid) {
  return (read(`/proc/${pid}/task/${pid}/children`) ?? '').split(' ').filter((child) => child).map(Number);
}

export function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {}    // it has exited
}

export function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

export async function endAll() {
  await Promise.all([...running].map((child) => end(child)));
}

export async function until(seconds, condition) {
  const last = Date.now() + seconds * 1000;
  while (!await condition()) {
    if (Date.now() > last) return false;
    await sleep(20);
  }
  return true;
}

// All ports are bound until all are known, or one could be returned twice.
export async function freePorts(count) {
  const servers = [];
  for (let i = 0; i < count; i++) {
    const server = createServer();
    await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
    servers.push(server);
  }
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => { server.close(done); })));
  return ports;
}
