// A walk through the dashboard, as a newcomer takes it. Ends with 0 when all was as it shall be;
// else it prints what was not, and where the pictures of the pages are.

import { execFile } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Person } from './person.mjs';

const { HOWDAH, HOWDAH_URL: BASE, PICTURES, HOME } = process.env;
const [OWNER, OWNER_KEY] = ['owner@localhost', process.env.OWNER_KEY];
const [DEV, PASSWORD] = ['dev@example.com', 'correct horse'];

const problems = [];
const people = [];

async function arrives(name, options) {
  const person = await Person.arrives(name, BASE, problems, options);
  people.push(person);
  return person;
}

// Notes what is not as it shall be, with a picture, and goes on.
async function same(person, what, is, shall) {
  if (JSON.stringify(is) === JSON.stringify(shall)) return;
  problems.push(`${what}: ${JSON.stringify(is)} is not ${JSON.stringify(shall)} (${await picture(person)})`);
}

async function has(person, what, text, ...parts) {
  for (const part of parts.filter((part) => !text.includes(part))) {
    problems.push(`${what}: "${part}" is not in "${text}" (${await picture(person)})`);
  }
}

let pictures = 0;
async function picture(person) {
  mkdirSync(PICTURES, { recursive: true });
  const path = join(PICTURES, `${pictures += 1}.png`);
  await person.page.screenshot({ path, fullPage: true }).catch(() => {});
  return path;
}

// Runs `howdah`, as the owner unless the environment says otherwise.
async function howdah(line, { input, ...env } = {}) {
  const options = { env: { ...process.env, ...env }, timeout: 60_000 };
  const run = promisify(execFile)(HOWDAH, line.split(' '), options);
  run.child.stdin.end(input ?? '');
  return run.then(({ stdout }) => ({ code: 0, stdout }), ({ code, stdout, stderr }) => ({ code, stdout, stderr }));
}

async function ok(line, options) {
  const { code, stdout, stderr } = await howdah(line, options);
  if (code !== 0) throw new Error(`howdah ${line}: ${stderr}`);
  return stdout;
}

const json = async (line) => JSON.parse(await ok(`${line} --json`)).data;

// A1, A3: an account is made on the web, and no other has its address; its pair logs in.
async function signUp(dev) {
  await same(dev, 'a visitor is sent to log in', [await dev.opens('/'), dev.path()], [200, '/login']);
  await dev.follows('No account yet? Sign up');
  await same(dev, 'the link leads to the form', await dev.heading(), 'Sign up');
  await same(dev, 'a short password is refused', await dev.logsIn(DEV, 'short', 'Sign up'), 422);
  await has(dev, 'it says why', await dev.said('alert'), '8 characters or more');
  await same(dev, 'A1 sign up', [await dev.logsIn(DEV, PASSWORD, 'Sign up'), dev.path()], [200, '/']);
  await has(dev, 'who is logged in, and what is next', await dev.text(), DEV, 'howdah apps:create NAME');
  await dev.presses('Log out');
  await same(dev, 'A1 a second account with the address', await dev.logsIn(DEV, PASSWORD, 'Sign up'), 422);
  await has(dev, 'A1 it says what to do', await dev.said('alert'), DEV, 'Log in instead');
  const own = { HOWDAH_CONFIG_DIR: join(HOME, 'dev') };
  await ok(`login --email ${DEV}`, { ...own, input: `${PASSWORD}\n` });
  await same(dev, 'A1 howdah login with the pair', (await ok('whoami', own)).trim(), DEV);
}

async function logIn(owner) {
  await same(owner, 'A3 a wrong password', await owner.logsIn(OWNER, 'wrong password'), 401);
  const wrong = await owner.said('alert');
  await owner.logsIn('nobody@example.com', 'wrong password');
  await same(owner, 'A3 it does not say which half was wrong', await owner.said('alert'), wrong);
  await owner.opens('/apps/demo');
  await same(owner, 'A3 nobody is logged in', owner.path(), '/login');
  await same(owner, 'the key is a password', [await owner.logsIn(OWNER, OWNER_KEY), owner.path()], [200, '/']);
}

async function createApp(owner) {
  await owner.opens('/');
  await owner.writes('Name', 'demo');
  await owner.presses('Create app');
  await same(owner, 'the app has a page', [owner.path(), await owner.heading()], ['/apps/demo', 'demo']);
  await has(owner, 'it says what is next', await owner.text(), 'demo has no database yet', 'howdah addons:create');
  await owner.follows('Apps');
  await has(owner, 'it is in the list', await owner.text(), 'demo');
  await owner.writes('Name', 'demo');
  await same(owner, 'a second one of the name', await owner.presses('Create app'), 422);
  await has(owner, 'it is refused', await owner.said('alert'), 'already taken');
  await owner.follows('demo');
}

// C17: adds a database of a plan and answers its name, once it is available.
async function addDatabase(owner, plan) {
  await owner.opens('/apps/demo');
  const before = new Set((await owner.rows('Resources')).map(([name]) => name));
  const value = `heroku-postgresql:${plan}`;
  await owner.page.getByLabel('Plan of a new database').selectOption({ value });
  await owner.presses('Add a database');
  const [name] = (await owner.rows('Resources')).map(([one]) => one).filter((one) => !before.has(one));
  await has(owner, `C17 it says that ${plan} was added`, await owner.said('status'), `${name} was added`);
  await ok(`pg:wait ${name} -a demo`);
  return name;
}

async function addDatabases(owner) {
  const [hobby, standard] = [await addDatabase(owner, 'hobby-dev'), await addDatabase(owner, 'standard-0')];
  await owner.opens('/apps/demo');
  const shown = (await owner.rows('Resources')).map(([name, , plan, price, status]) => [name, plan, price, status]);
  const there = [
    [hobby, 'Heroku Postgres :: Hobby-dev', 'free', 'Available'],
    [standard, 'Heroku Postgres :: Standard 0', '$50/mo', 'Available'],
  ];
  const bare = shown.map((row) => row.map((cell) => cell.replace(/^●\s*/, '')));
  await same(owner, 'C17 both are there with plan and status', bare, there);
  const names = (await json('addons -a demo')).map(({ name }) => name);
  await same(owner, 'the command line knows the same', names, [hobby, standard]);
  return [hobby, standard];
}

// C18: the five fields are those of pg:credentials, the statistics those of pg:info.
async function connection(owner, name) {
  await owner.opens(`/databases/${name}`);
  const { info, url } = await json(`pg:credentials ${name} -a demo`);
  const given = Object.fromEntries(info.split(' ').map((pair) => pair.split('=')));
  await same(owner, 'the password is hidden at first', (await owner.page.content()).includes(given.password), false);
  await owner.presses('Reveal the connection');
  await same(owner, 'C18 the connection', await owner.terms('Connection'), {
    Host: given.host,
    Database: given.dbname,
    User: given.user,
    Port: given.port,
    Password: given.password,
    URL: url,
  });
  await has(owner, 'C18 how to reach psql', await owner.text(), `howdah pg:psql ${name} -a demo`);
  await owner.follows('Hide them');
  await same(owner, 'it is hidden again', (await owner.page.content()).includes(given.password), false);
  return url;
}

async function statistics(owner, name) {
  let [shown, told] = [];
  // A look may fall into a change of size, so the two are compared a few times.
  for (let turn = 0; turn < 5; turn += 1) {
    await owner.opens(`/databases/${name}`);
    shown = await owner.terms('Statistics');
    const [{ info }] = await json(`pg:info ${name} -a demo`);
    const rows = info.filter((row) => row.name !== 'Add-on');
    told = Object.fromEntries(rows.map((row) => [row.name, row.values.join(', ')]));
    if (JSON.stringify(shown) === JSON.stringify(told)) return shown;
  }
  await same(owner, 'C18 the statistics', shown, told);
  return shown;
}

async function history(owner, name) {
  await owner.opens(`/databases/${name}`);
  const rows = (await owner.rows('History')).map(([, from, to, reason]) => [from, to, reason]);
  await same(owner, 'the history begins with its making', rows.slice(-2), [
    ['preparing', 'available', 'it answers'],
    ['nothing', 'preparing', 'it was asked for'],
  ]);
}

async function promote(owner, standard, url) {
  await owner.opens(`/databases/${standard}`);
  await owner.presses(`Promote ${standard}`);
  await has(owner, 'the promotion is confirmed', await owner.said('status'), `${standard} was promoted`);
  await has(owner, 'it is the primary', await owner.text(), 'It is the primary database of demo.');
  await same(owner, 'no second promotion is offered', await owner.page.getByRole('button', { name: 'Promote' }).count(), 0);
  await same(owner, 'C10 DATABASE_URL follows', (await ok('config:get DATABASE_URL -a demo')).trim(), url);
}

async function reset(owner, hobby) {
  await ok(`pg:psql ${hobby} -a demo`, { input: 'create table t (a int)' });
  const { Tables } = await statistics(owner, hobby);
  await same(owner, 'the page counts the table', Tables, '1');
  await same(owner, 'a reset without the name', await owner.confirms(`Reset ${hobby}`, 'demo'), 422);
  await has(owner, 'it is refused', await owner.said('alert'), `did not match ${hobby}`, 'Nothing was changed');
  await same(owner, 'nothing was changed', (await statistics(owner, hobby)).Tables, '1');
  await same(owner, 'a reset with the name', await owner.confirms(`Reset ${hobby}`, hobby), 200);
  await has(owner, 'it is confirmed', await owner.said('status'), `${hobby} was reset`);
  await same(owner, 'D29 it is empty', (await statistics(owner, hobby)).Tables, '0');
  const [[, who, what, outcome]] = await owner.rows('Activity');
  await same(owner, 'A25 the reset is in its activity', [who, what, outcome], [OWNER, 'Reset', 'done']);
}

async function destroy(owner, hobby) {
  await owner.opens(`/databases/${hobby}`);
  await same(owner, 'a destruction without the name', await owner.confirms(`Destroy ${hobby}`, 'x'), 422);
  await same(owner, 'it is still there', await owner.opens(`/databases/${hobby}`), 200);
  await owner.confirms(`Destroy ${hobby}`, ` ${hobby} `);
  await same(owner, 'it leads to the app', owner.path(), '/apps/demo');
  await has(owner, 'it is confirmed', await owner.said('status'), `${hobby} was destroyed`);
  await same(owner, 'C17 it is gone from the page', (await owner.rows('Resources')).length, 1);
  await same(owner, 'it has no page', await owner.opens(`/databases/${hobby}`), 404);
  await has(owner, 'the page says so', await owner.text(), 'Not found', "Couldn't find that add on");
}

// A25: who changed what, and when.
async function activity(owner, hobby, standard) {
  await owner.opens('/apps/demo');
  const rows = await owner.rows('Activity');
  const whats = rows.map(([, , what]) => what).join('\n');
  await has(owner, 'A25 the activity', whats, 'Initial release', `Attach DATABASE (@ref:${hobby})`,
    `Attach DATABASE (@ref:${standard})`, `Reset ${hobby}`, `Destroy ${hobby}`);
  const made = (await json('releases -a demo')).map(({ version }) => `release v${version}`);
  const shown = rows.map(([, , , outcome]) => outcome).filter((outcome) => outcome.startsWith('release'));
  await same(owner, 'A25 every release is in it', shown, made);
  await same(owner, 'A25 with who', [...new Set(rows.map(([, who]) => who))], [OWNER]);
  const timed = rows.every(([when]) => /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/.test(when));
  await same(owner, 'A25 and when', timed, true);
}

async function stranger(dev, standard) {
  await dev.logsIn(DEV, PASSWORD);
  const seen = await dev.text();
  await same(dev, 'another account sees no app', seen.includes('demo'), false);
  for (const path of ['/apps/demo', `/databases/${standard}`]) {
    await same(dev, `another account does not see ${path}`, await dev.opens(path), 404);
    await same(dev, 'nor learns of it', (await dev.text()).includes(OWNER), false);
  }
}

// With scripts and on a narrow screen: nothing complains, and nothing is wider than the screen.
async function look(guest, standard) {
  await guest.logsIn(OWNER, OWNER_KEY);
  for (const path of ['/', '/apps/demo', `/databases/${standard}`, '/login', '/signup', '/nowhere']) {
    await same(guest, `${path} is there`, await guest.opens(path), path === '/nowhere' ? 404 : 200);
    const wide = await guest.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    await same(guest, `${path} fits a narrow screen`, wide > 0, false);
    await same(guest, `${path} has one main heading`, await guest.page.getByRole('heading', { level: 1 }).count(), 1);
    const unnamed = await guest.page.evaluate(() => [...document.querySelectorAll('input:not([type=hidden]), select')]
      .filter((field) => field.labels.length === 0).length);
    await same(guest, `${path} names its fields`, unnamed, 0);
  }
}

async function walk() {
  const [dev, owner] = [await arrives('dev'), await arrives('owner')];
  await signUp(dev);
  await logIn(owner);
  await createApp(owner);
  const [hobby, standard] = await addDatabases(owner);
  await connection(owner, hobby);
  const url = await connection(owner, standard);
  await statistics(owner, standard);
  await history(owner, standard);
  await promote(owner, standard, url);
  await reset(owner, hobby);
  await destroy(owner, hobby);
  await activity(owner, hobby, standard);
  await stranger(dev, standard);
  await look(await arrives('guest', { scripts: true, width: 320 }), standard);
  await owner.opens('/');
  await owner.presses('Log out');
  await same(owner, 'logging out leads to the door', owner.path(), '/login');
  await owner.opens('/apps/demo');
  await same(owner, 'the session is over', owner.path(), '/login');
}

// Without its browsers the walk ends, and says where it was.
const bound = setTimeout(() => people.forEach((person) => person.leaves()), 150_000);
rmSync(PICTURES, { recursive: true, force: true });
try {
  await walk();
} catch (error) {
  problems.push(`the walk ended: ${error.stack}`);
  for (const person of people) problems.push(`it was at ${person.page.url()} (${await picture(person)})`);
}
clearTimeout(bound);
await Promise.all(people.map((person) => person.leaves()));
problems.forEach((problem) => console.error(problem));
process.exit(problems.length === 0 ? 0 : 1);
