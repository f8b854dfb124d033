// A person at a browser: Chromium, as it comes, with a profile of its own. What a page must never
// do is noticed on the way: load from elsewhere, fail to load, complain, or come without a policy.

import { createRequire } from 'node:module';
import { join } from 'node:path';

const { chromium } = createRequire(join(process.env.PLAYWRIGHT_MODULES, 'x.js'))('playwright-core');

const ARGUMENTS = [
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
  // Chromium refuses to sandbox what root starts.
  ...(process.getuid() === 0 ? ['--no-sandbox'] : []),
];

// The longest that anything on a page is waited for, in milliseconds.
const BOUND = 20_000;

export class Person {
  constructor(context, page, base, problems) {
    Object.assign(this, { context, page, base, problems });
  }

  // A person with a fresh browser. `problems` collects what went wrong.
  static async arrives(name, base, problems, { scripts = false, width = 1280 } = {}) {
    const context = await chromium.launchPersistentContext(join(process.env.HOME, 'profiles', name), {
      executablePath: '/usr/bin/chromium',
      args: ARGUMENTS,
      javaScriptEnabled: scripts,
      viewport: { width, height: 800 },
      timeout: 60_000,
    });
    context.setDefaultTimeout(BOUND);
    const person = new Person(context, context.pages()[0], base, problems);
    person.#watch(name);
    return person;
  }

  #watch(name) {
    const note = (what) => this.problems.push(`${name}: ${what}`);
    this.context.on('request', (request) => {
      if (new URL(request.url()).origin !== this.base) note(`a request left for ${request.url()}`);
    });
    this.context.on('requestfailed', (request) => note(`${request.url()} did not load`));
    this.context.on('response', (response) => {
      const status = response.status();
      if (response.request().resourceType() !== 'document') {
        if (status !== 200) note(`${response.url()} answered ${status}`);
      } else if (status < 300 || status >= 400) {
        const policy = response.headers()['content-security-policy'] ?? '';
        if (!policy.startsWith("default-src 'none';")) note(`${response.url()} has no policy`);
      }
    });
    this.context.on('console', (message) => {
      // The status of a page itself is checked where it is expected.
      const isPage = message.location().url === this.page.url();
      if (isPage && message.text().startsWith('Failed to load resource')) return;
      if (['error', 'warning'].includes(message.type())) note(`the console says ${message.text()}`);
    });
    this.context.on('weberror', (error) => note(`a script failed: ${error.error()}`));
  }

  // Opens a page and answers its status.
  async opens(path) {
    return (await this.page.goto(this.base + path)).status();
  }

  // Writes into the field with a label, within a form when one is given.
  async writes(label, text, within = this.page) {
    await within.getByLabel(label).fill(text);
  }

  // Presses a button and answers the status of the page that it leads to.
  async presses(button) {
    const [response] = await Promise.all([
      this.page.waitForResponse((response) => response.request().isNavigationRequest()
        && (response.status() < 300 || response.status() >= 400)),
      this.page.getByRole('button', { name: button, exact: true }).click(),
    ]);
    await this.page.waitForLoadState();
    return response.status();
  }

  async follows(link) {
    await this.page.getByRole('link', { name: link, exact: true }).click();
    await this.page.waitForLoadState();
  }

  async logsIn(email, password, door = 'Log in') {
    await this.opens(door === 'Log in' ? '/login' : '/signup');
    await this.writes('E-mail address', email);
    await this.writes('Password', password);
    return this.presses(door);
  }

  // The path of the page, without its query.
  path() {
    return new URL(this.page.url()).pathname;
  }

  heading() {
    return this.page.getByRole('heading', { level: 1 }).innerText();
  }

  // All that the page says.
  text() {
    return this.page.locator('body').innerText();
  }

  // What the page says of the form that led to it.
  said(role) {
    return this.page.getByRole(role).innerText();
  }

  // The definitions below a heading, by term.
  async terms(heading) {
    const list = this.page.locator(`h2:text-is("${heading}") + dl`);
    const [terms, values] = [list.locator('dt'), list.locator('dd')];
    const [names, texts] = [await terms.allInnerTexts(), await values.allInnerTexts()];
    return Object.fromEntries(names.map((name, index) => [name, texts[index]]));
  }

  // The rows of the table below a heading, cell by cell.
  async rows(heading) {
    const rows = await this.page.locator(`h2:text-is("${heading}") + table tbody tr`).all();
    return Promise.all(rows.map((row) => row.locator('td').allInnerTexts()));
  }

  // Types a name into the form of a dangerous button and presses it.
  async confirms(button, name) {
    const form = this.page.locator('form', { has: this.page.getByRole('button', { name: button, exact: true }) });
    await form.getByRole('textbox').fill(name);
    return this.presses(button);
  }

  leaves() {
    return this.context.close();
  }
}
