// Opens pages in Chromium, over HTTP/3 where required. The argument is JSON, and so are the results on stdout.
//
//   directory   for the profile
//   host        a host name that resolves to 127.0.0.1
//   force       host:port that is requested over HTTP/3 only
//   key         base64 of the SHA-256 of a public key that is accepted in any certificate
//   steps       each { goto: url }; with ends: url, the page to which scripts lead; with until: protocol, repeated until
//               the page comes over that protocol
//
// The result of each step is { url, body, hops, error }; a hop is { url, status, protocol, location }.

const library = new URL('../../build/node/node_modules/playwright-core/index.mjs', import.meta.url);
const { chromium } = await import(library);

const TIMEOUT = 30000;    // ms, of each action
const PAUSE = 200;

const { directory, host, force, key, steps } = JSON.parse(process.argv[2]);

const context = await chromium.launchPersistentContext(directory, {
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--enable-quic', `--origin-to-force-quic-on=${force}`,
    `--host-resolver-rules=MAP ${host} 127.0.0.1`, `--ignore-certificate-errors-spki-list=${key}`],
});

try {
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT);
  let responses = [];
  page.on('response', (response) => { if (response.request().isNavigationRequest()) responses.push(response); });
  const results = [];
  for (const step of steps) {
    const end = Date.now() + TIMEOUT;
    let result;
    do {
      responses = [];
      result = await open(page, step);
      result.hops = await Promise.all(responses.map(hopOf));
    } while (step.until && result.hops.at(-1)?.protocol !== step.until && Date.now() < end && await pause());
    results.push(result);
  }
  process.stdout.write(JSON.stringify(results));
} finally {
  await context.close();
}

async function open(page, { goto: url, ends }) {
  const opened = page.goto(url).then(() => ends && page.waitForURL(ends));
  const error = await opened.then(() => undefined, ({ message }) => message.split('\n', 1)[0]);
  const body = await page.textContent('body').catch(() => '');
  return { url: page.url(), body: body.replace(/\s+/g, ' ').slice(0, 100), error };
}

async function hopOf(response) {
  const protocol = await response.httpVersion();
  return { url: response.url(), status: response.status(), protocol, location: response.headers().location };
}

function pause() {
  return new Promise((resolve) => { setTimeout(() => resolve(true), PAUSE); });
}
