// What node-postgres (`pg`) can do, with protocol code of its own.
'use strict'

const crypto = require('node:crypto')
const fs = require('node:fs')
const { pipeline } = require('node:stream/promises')
const { Readable } = require('node:stream')
const { Client, Pool, types } = require('pg')
const Cursor = require('pg-cursor')
const { from: copyFrom, to: copyTo } = require('pg-copy-streams')

const steps = []
const step = (name, run) => steps.push([name, run])
const hide = (text) => text.replaceAll(process.env.PGPORT, 'PORT').replace(/pg_temp_\d+/g, 'pg_temp_N')
const say = (...things) => console.log(hide(things.map((thing) => typeof thing === 'string' ? thing : JSON.stringify(thing)).join(' ')))
// What may be otherwise where sessions share servers.
const sayOwn = (...things) => say('~', ...things)
const digest = (data) => `${data.length}, ${crypto.createHash('sha256').update(data).digest('hex').slice(0, 16)}`
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

// In the order of the names. Errors that end a log-in can be the gateway's, which does not say
// where in PostgreSQL's source they come from.
const source = ['file', 'line', 'routine', 'length']
function tell(error) {
  const kept = {}
  // The number of a schema for temporary tables, and so its digits, is another in each run.
  if (/^pg_temp_/.test(error.schema)) delete error.length
  for (const key of Object.keys(error).sort()) {
    if (error.severity === 'FATAL' && source.includes(key)) continue
    if (error[key] !== undefined) kept[key] = error[key]
  }
  say(error.constructor.name, error.message, kept)
}

async function refused(promise) {
  try {
    const result = await promise
    say('no error', result?.command ?? null)
  } catch (error) {
    tell(error)
  }
}

const settings = (more) => ({
  host: 'localhost',
  ssl: { ca: fs.readFileSync(process.env.PGSSLROOTCERT, 'utf8'), rejectUnauthorized: true },
  ...more,
})

async function connected(use, more = {}) {
  const client = new Client(settings(more))
  client.on('error', (error) => say('on error', error.message))
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

async function untilRunning(text) {
  await connected(async (client) => {
    for (let turn = 0; turn < 3000; turn++) {
      const { rowCount } = await client.query(
        `select 1 from pg_stat_activity where wait_event = 'PgSleep' and pid <> pg_backend_pid() and query like $1`, [`%${text}%`])
      if (rowCount > 0) return
      await pause(10)
    }
    throw new Error(`${text} does not run`)
  })
}

step('log in', async () => {
  for (const ssl of [undefined, false]) {
    await connected(async (client) => {
      sayOwn((await client.query('select pg_backend_pid() = $1 as mine', [client.processID])).rows)
      const { rows } = await client.query('select current_user, current_database()')
      say(rows, client.processID > 0, client.secretKey !== 0)
    }, ssl === undefined ? {} : { ssl })
  }
  for (const more of [{ ssl: { rejectUnauthorized: true } }, { ssl: { ca: settings().ssl.ca, servername: 'elsewhere.example' } },
    { ssl: { rejectUnauthorized: false } }, { ssl: { ca: settings().ssl.ca, maxVersion: 'TLSv1.2' } },
    { password: 'wrong' }, { user: 'nobody' }, { database: 'missing' }, { enableChannelBinding: true },
    { application_name: 'näme', options: '-c work_mem=3MB -c search_path=a,b' }, { options: '-c no_such=1' },
    { statement_timeout: 1234, lock_timeout: 2345, idle_in_transaction_session_timeout: 3456 }, { client_encoding: 'LATIN1' },
    { fallback_application_name: 'fallback' }]) {
    say('#', Object.keys(more))
    await refused(connected(async (client) => {
      for (const name of ['application_name', 'work_mem', 'search_path', 'statement_timeout', 'client_encoding']) {
        say(name, (await client.query(`show ${name}`)).rows)
      }
    }, more))
  }
  if ((await connected((client) => client.query('show server_version_num'))).rows[0].server_version_num >= 170000) {
    await refused(connected(async (client) => say((await client.query('select 1 as direct')).rows), { sslnegotiation: 'direct' }))
  }
})

step('types', async () => {
  await connected(async (client) => {
    const values = [null, true, 0, -1.5, 2 ** 40, '', 'text ä€🐘', new Date(Date.UTC(2024, 1, 29, 12)),
      { a: [1, { b: null }] }, [1, 2, null], [['a'], ['"b\\']], 'x'.repeat(100000), 12345678901234567890n]
    for (const value of values) {
      for (const rowMode of ['array', undefined]) {
        for (const binary of [false, true]) {
          const { rows, fields } = await client.query({ text: 'select $1 as value', values: [value], rowMode, binary })
          const text = JSON.stringify(rows)
          say(text.length < 300 ? text : digest(text), fields)
        }
      }
    }
    for (const text of ['1::int2', '1::int8', '1.5::float4', `'NaN'::numeric`, `'{1,2}'::int[]`, `'1 day 02:00'::interval`, `'(1,2)'::point`,
      `'2024-02-29'::date`, `'2024-02-29 12:00+02'::timestamptz`, `'infinity'::timestamp`, `'\\xff00'::bytea`, `'[1,3)'::int4range`, 'null::void', `row(1, 'x')`]) {
      const { rows, fields } = await client.query(`select ${text} as value`)
      say(text, rows, fields[0].dataTypeID, fields[0].dataTypeSize, fields[0].dataTypeModifier, fields[0].format)
    }
  })
})

step('prepared statements', async () => {
  await connected(async (client) => {
    for (let turn = 0; turn < 3; turn++) {
      for (let number = 0; number < 50; number++) {
        const { rows } = await client.query({ name: `named ${number}`, text: `select $1::int + ${number} as sum`, values: [turn] })
        if (rows[0].sum !== turn + number) say('wrong', rows)
      }
    }
    sayOwn((await client.query('select count(*), min(name), max(statement) from pg_prepared_statements')).rows)
    await refused(client.query({ name: 'named 1', text: 'select another' }))
    await refused(client.query({ name: 'bad', text: 'select * from missing where a = $1', values: [1] }))
    await refused(client.query({ name: 'bad', text: 'select * from missing where a = $1', values: [1] }))
    await refused(client.query({ name: 'fails', text: 'select 1 / $1::int', values: [0] }))
    say((await client.query({ name: 'fails', text: 'select 1 / $1::int', values: [1] })).rows)
    await refused(client.query({ text: 'select $1::int, $2::int', values: [1] }))
    await client.query('create temp table shape (a int)')
    const stars = { name: 'stars', text: 'select * from shape' }
    await client.query(stars)
    await client.query('alter table shape add b int')
    await refused(client.query(stars))
    await client.query('deallocate all')
    await refused(client.query(stars))
    const { rows } = await client.query({ text: 'select generate_series(1, 100) as n', rows: 10 })
    say(rows.length)
  })
})

step('queued queries', async () => {
  await connected(async (client) => {
    await client.query('create temp table queued (a int primary key)')
    const results = await Promise.allSettled(Array.from({ length: 200 }, (_, number) => number % 50 === 49
      ? client.query('insert into queued values (1)') : client.query('insert into queued values ($1) returning a', [number])))
    say(results.filter(({ status }) => status === 'fulfilled').length, results.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.code))
    await client.query('begin')
    const within = await Promise.allSettled(['savepoint a', 'select 1/0', 'select 1', 'rollback to a', 'select 2', 'commit'].map((text) => client.query(text)))
    say(within.map(({ status, value, reason }) => [status, value?.command ?? reason.code]))
    say((await client.query('select 1 as one; select 2 as two; insert into queued values (1000)')).map(({ command, rows, rowCount }) => [command, rows, rowCount]))
    await refused(client.query('insert into queued values (2000); select 1/0; insert into queued values (2001)'))
    say((await client.query('select count(*), max(a) from queued')).rows, (await client.query('')).command, (await client.query(';')).rows)
  })
})

step('a pool', async () => {
  const pool = new Pool(settings({ max: 5 }))
  const sums = await Promise.all(Array.from({ length: 300 }, (_, number) => pool.query({ name: 'p', text: 'select $1::int * 2 as double', values: [number] })))
  say(sums.every(({ rows }, number) => rows[0].double === number * 2), pool.totalCount)
  await pool.end()
})

step('cursors', async () => {
  await connected(async (client) => {
    const cursor = client.query(new Cursor('select n, repeat($1, n) as t from generate_series(1, 100) n', ['x']))
    say((await cursor.read(3)).length, (await cursor.read(90)).length, (await cursor.read(90)).length, (await cursor.read(5)).length)
    const early = client.query(new Cursor('select generate_series(1, 100000) n'))
    say((await early.read(10)).length)
    await early.close()
    const failing = client.query(new Cursor('select 10 / (50 - n) from generate_series(1, 100) n'))
    say((await failing.read(20)).length)
    await refused(failing.read(50))
    say((await client.query('select 1 as usable')).rows)
    await client.query('begin')
    await client.query('declare held cursor with hold for select generate_series(1, 10) n')
    await client.query('commit')
    say((await client.query('fetch 3 from held')).rows, (await client.query('close held')).command)
  })
})

step('copy', async () => {
  await connected(async (client) => {
    await client.query('create temp table copied (id int primary key, t text)')
    const lines = Array.from({ length: 50000 }, (_, number) => `${number}\tline ${number}\n`)
    await pipeline(Readable.from(lines), client.query(copyFrom('copy copied from stdin')))
    const chunks = []
    for await (const chunk of client.query(copyTo('copy copied to stdout (format binary)'))) chunks.push(chunk)
    say(digest(Buffer.concat(chunks)))
    await client.query('truncate copied')
    await pipeline(Readable.from(chunks), client.query(copyFrom('copy copied from stdin (format binary)')))
    say((await client.query('select count(*), sum(id) from copied')).rows)
    await refused(pipeline(Readable.from(['70000\tx\n', '70000\ty\n']), client.query(copyFrom('copy copied from stdin'))))
    await refused(pipeline(Readable.from(['no number\n']), client.query(copyFrom('copy copied from stdin'))))
    const broken = async function * () { yield '80000\tx\n'; throw new Error('the source broke') }
    await refused(pipeline(Readable.from(broken()), client.query(copyFrom('copy copied from stdin'))))
    say((await client.query('select count(*) from copied')).rows)
    const failing = async () => { for await (const chunk of client.query(copyTo('copy (select 1 / (5 - n) from generate_series(1, 9) n) to stdout'))) say(chunk.toString()) }
    await refused(failing())
    await refused(client.query('copy copied from stdin'))
    say((await client.query('select 1 as usable')).rows)
  })
})

step('listen and notify', async () => {
  await connected((ear) => connected(async (mouth) => {
    const heard = []
    let arrived = () => {}
    ear.on('notification', ({ channel, payload, processId }) => {
      heard.push([channel, payload.length > 100 ? digest(payload) : payload])
      sayOwn(processId === mouth.processID ? 'mouth' : processId === ear.processID ? 'ear' : 'nobody')
      arrived()
    })
    await ear.query('listen channel')
    await mouth.query('notify channel')
    await mouth.query('select pg_notify($1, $2)', ['channel', 'ä'.repeat(3000)])
    await ear.query(`notify channel, 'own'`)
    await mouth.query(`begin; notify channel, 'one'; notify channel, 'two'; commit`)
    while (heard.length < 5) await new Promise((resolve) => { arrived = resolve })
    for (const one of heard) say(one)
    await ear.query('unlisten *')
    await mouth.query('notify channel')
    await ear.query('select 1')
    say(heard.length)
  }))
})

step('cancel', async () => {
  await connected(async (client) => {
    // Without TLS, as node-postgres sends it.
    const query = new (require('pg').Query)('select pg_sleep(60) /* cancel with pg */')
    const ended = new Promise((resolve, reject) => { query.on('error', reject); query.on('end', resolve) })
    client.query(query)
    await untilRunning('cancel with pg')
    const canceller = new Client(settings({ ssl: false }))
    canceller.cancel(client, query)
    await refused(ended)
    say((await client.query('select 1 as usable')).rows)
    await client.query('set statement_timeout = 50')
    await refused(client.query('select pg_sleep(60)'))
    await refused(client.query({ text: 'select pg_sleep(60)', values: [] , name: 'sleep' }))
  })
})

step('errors and notices', async () => {
  await connected(async (client) => {
    client.on('notice', (notice) => tell(notice))
    await client.query(`set client_min_messages = debug1`)
    await client.query(`do $$ begin raise notice 'a'; raise warning 'b' using hint = 'h', errcode = '01ABC'; raise debug 'c'; end $$`)
    await client.query('reset client_min_messages')
    await client.query('create table parent (id int primary key); create table child (p int references parent, n int check (n > 0))')
    for (const text of ['selekt', 'select * from missing', `insert into child values (5, 1)`, 'insert into child values (null, -1)', 'select 1/0',
      `do $$ begin raise exception 'own' using errcode = 'AB123', detail = 'd', hint = 'h', table = 't', constraint = 'c'; end $$`]) {
      await refused(client.query(text))
      await refused(client.query(text, []))
    }
    await client.query('drop table child, parent')
  })
})

step('session', async () => {
  await connected(async (client) => {
    const said = []
    client.connection.on('parameterStatus', ({ parameterName, parameterValue }) => said.push([parameterName, parameterValue]))
    for (const text of [`set application_name = 'other'`, `set datestyle = 'German'`, `set timezone = 'Asia/Tokyo'`, `set client_encoding = 'LATIN1'`,
      `set client_encoding = 'UTF8'`, 'begin; set local intervalstyle = iso_8601', 'rollback', 'create temp table mine as select 1 a', 'discard all']) {
      await client.query(text)
      say(text, said.splice(0))
    }
    await refused(client.query('table mine'))
  })
})

step('large', async () => {
  await connected(async (client) => {
    for (const size of [8191, 8192, 65536, 1 << 20, 32 << 20]) {
      const value = Buffer.alloc(size, size % 250)
      say(size, (await client.query({ text: 'select $1::bytea as back', values: [value] })).rows[0].back.equals(value))
    }
    const many = Array.from({ length: 65535 }, (_, number) => number)
    const marks = many.map((number) => `$${number + 1}`).join(',')
    say((await client.query(`select sum(v::int) from unnest(array[${marks}]::text[]) v`, many)).rows)
    await refused(client.query('select 1 as too_many', [...many, 1]))
    say((await client.query('select count(*), sum(length(v)) from unnest($1::text[]) v', [Array.from({ length: 2000 }, () => 'y'.repeat(1100))])).rows)
    say((await client.query('select generate_series(1, 100000) as n')).rows.length)
  })
})

step('ends', async () => {
  const client = new Client(settings())
  const ended = new Promise((resolve) => client.on('end', resolve))
  client.on('error', (error) => sayOwn('on error', error.code ?? error.message, error.severity ?? ''))
  await client.connect()
  await client.query(`set idle_session_timeout = '50ms'`)
  await Promise.race([ended, pause(2000)])
  sayOwn(await client.query('select 1').then(() => 'no error', (error) => error.message))
  await client.end()
})

async function main() {
  const wanted = process.argv.slice(2)
  for (const [name, run] of steps) {
    if (wanted.length && !wanted.includes(name)) continue
    say('##', name)
    try {
      await run()
    } catch (error) {
      say('UNEXPECTED in', name)
      console.error(error)
      process.exit(1)
    }
  }
}

main()
