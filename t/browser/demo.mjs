// A demo for the tests alone: its own directory and free ports, so that it can run beside the one a person started.

import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('../..', import.meta.url));
export const output = `${top}build/browser`;
const directory = `${output}/demo`;

export async function startDemo() {
  rmSync(output, { recursive: true, force: true });
  const [port, providerPort, appPort] = await freePorts(3);
  const environment = {
    ...process.env,
    DEMO_DIR: directory, DEMO_PORT: port, DEMO_PROVIDER_PORT: providerPort, DEMO_APP_PORT: appPort,
  };
  const demo = (command) => execFileSync(`${top}t/demo/demo`, [command], { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
  demo('start');
  return {
    site: `http://localhost:${port}`,
    provider: `http://127.0.0.1:${providerPort}`,
    log: (name) => readFileSync(`${directory}/logs/${name}.log`, 'utf8'),
    restart: () => { demo('stop'); demo('start'); },
    stop: () => demo('stop'),
  };
}

async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, '127.0.0.1', () => resolve(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => { server.close(resolve); })));
  return ports;
}
