// The application behind nginx: it returns the user that it received in its own headers, and sometimes responds slowly.

import { createServer } from 'node:http';

export async function startApplication(random) {
  const server = createServer((req, res) => {
    const isMissing = req.url.startsWith('/missing/');
    const respond = () => { res.writeHead(isMissing ? 404 : 200, shown(req.headers)).end('page\n'); };
    if (random.chance(0.1)) setTimeout(respond, random.between(0, 300));
    else respond();
  });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  return server;
}

function shown(headers) {
  const fields = { 'X-App-Sub': headers['x-sub'], 'X-App-Login': headers['x-login'] };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value));
}
