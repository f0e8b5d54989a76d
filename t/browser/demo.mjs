// A demo for one test, with its own directory and free ports, so that it can run at the same time as others.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('../..', import.meta.url));

// All its files are below build/browser/<name>. "additions" gets the addresses and the directory and returns settings of the
// provider ("clients", "tls") and directives for nginx's http block ("configuration").
export async function startDemo(name, additions = () => ({})) {
  const output = `${top}build/browser/${name}`;
  const directory = `${output}/demo`;
  rmSync(output, { recursive: true, force: true });
  mkdirSync(`${directory}/conf.d`, { recursive: true });
  const [port, providerPort, appPort] = await freePorts(3);
  const addresses = {
    site: `http://localhost:${port}`,
    provider: `http://127.0.0.1:${providerPort}`,
    application: `http://127.0.0.1:${appPort}`,
  };
  const { clients = [], tls = null, configuration = '' } = await additions(addresses, directory);
  writeFileSync(`${directory}/conf.d/test.conf`, configuration);
  const environment = {
    ...process.env,
    DEMO_DIR: directory, DEMO_PORT: port, DEMO_PROVIDER_PORT: providerPort, DEMO_APP_PORT: appPort,
    DEMO_CLIENTS: JSON.stringify(clients), DEMO_TLS: JSON.stringify(tls),
  };
  const demo = (command) => execFileSync(`${top}t/demo/demo`, [command], { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
  demo('start');
  return {
    ...addresses,
    output,
    log: (part) => readFileSync(`${directory}/logs/${part}.log`, 'utf8'),
    restart: () => { demo('stop'); demo('start'); },
    stop: () => demo('stop'),
  };
}

export async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, '127.0.0.1', () => resolve(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => { server.close(resolve); })));
  return ports;
}
