// What PostgreSQL's JDBC driver can do, with protocol code of its own. Run as a single source file.

import java.io.ByteArrayOutputStream;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.security.MessageDigest;
import java.sql.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.PGStatement;
import org.postgresql.copy.*;
import org.postgresql.fastpath.*;
import org.postgresql.largeobject.*;
import org.postgresql.util.*;

public class WithJdbc {
    interface Step { void run() throws Exception; }

    static final String PORT = System.getenv("PGPORT");
    static final Map<String, Step> STEPS = new LinkedHashMap<>();

    static String hide(String text) {
        return text == null ? null : text.replace(PORT, "PORT").replaceAll("pg_temp_\\d+", "pg_temp_N").replaceAll("@[0-9a-f]{4,}", "@N");
    }

    static void say(Object... things) {
        StringJoiner line = new StringJoiner(" ");
        for (Object thing : things) line.add(hide(Objects.toString(thing)));
        System.out.println(line);
    }

    /** Says what may be otherwise where sessions share servers. */
    static void sayOwn(Object... things) {
        System.out.print("~ ");
        say(things);
    }

    static String digest(byte[] data) throws Exception {
        byte[] hash = MessageDigest.getInstance("SHA-256").digest(data);
        return data.length + ", " + HexFormat.of().formatHex(hash).substring(0, 16);
    }

    static Connection connect(String... more) throws SQLException {
        Properties given = new Properties();
        given.put("user", System.getenv("PGUSER"));
        given.put("password", System.getenv("PGPASSWORD"));
        given.put("sslmode", "verify-full");
        given.put("sslrootcert", System.getenv("PGSSLROOTCERT"));
        String database = System.getenv("PGDATABASE"), host = "localhost";
        for (int i = 0; i < more.length; i += 2) {
            if (more[i].equals("database")) database = more[i + 1];
            else if (more[i].equals("host")) host = more[i + 1];
            else given.put(more[i], more[i + 1]);
        }
        return DriverManager.getConnection("jdbc:postgresql://" + host + ":" + PORT + "/" + database, given);
    }

    static void refused(Step step) throws Exception {
        try {
            step.run();
            say("no error");
        } catch (SQLException error) {
            for (SQLException one = error; one != null; one = one.getNextException()) tell(one);
        }
    }

    static void tell(SQLException error) {
        say(error.getClass().getSimpleName(), error.getSQLState(), error.getMessage());
        ServerErrorMessage said = error instanceof PSQLException ours ? ours.getServerErrorMessage() : null;
        if (said != null) {
            say("  ", said.getSeverity(), said.getDetail(), said.getHint(), said.getWhere(), said.getPosition(), said.getSchema(),
                said.getTable(), said.getColumn(), said.getConstraint(), said.getDatatype(), said.getInternalQuery());
        }
        if (error instanceof BatchUpdateException batch) say("  ", Arrays.toString(batch.getUpdateCounts()));
    }

    static String rows(ResultSet found) throws Exception {
        StringJoiner all = new StringJoiner(", ", "{", "}");
        int width = found.getMetaData().getColumnCount();
        while (found.next()) {
            StringJoiner row = new StringJoiner(",", "(", ")");
            for (int i = 1; i <= width; i++) row.add(Objects.toString(found.getString(i)));
            all.add(row.toString());
        }
        return all.toString();
    }

    static String ask(Connection conn, String sql) throws Exception {
        try (Statement statement = conn.createStatement(); ResultSet found = statement.executeQuery(sql)) {
            return rows(found);
        }
    }

    static void execute(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement()) { statement.execute(sql); }
    }

    static void untilRunning(String text) throws Exception {
        try (Connection conn = connect()) {
            for (int i = 0; i < 3000; i++) {
                if (ask(conn, "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and pid <> pg_backend_pid() and query like '%"
                    + text + "%'").equals("{(1)}")) return;
                Thread.sleep(10);
            }
            throw new TimeoutException(text);
        }
    }

    static void logIn() throws Exception {
        String[][] cases = { {}, {"sslmode", "disable"}, {"sslmode", "allow"}, {"sslmode", "prefer"}, {"sslmode", "require"}, {"sslmode", "verify-ca"},
            {"host", "127.0.0.1"}, {"sslrootcert", "/etc/ssl/certs/ca-certificates.crt"}, {"password", "wrong"}, {"user", "nobody"},
            {"database", "missing"}, {"gssEncMode", "disable"}, {"gssEncMode", "prefer"}, {"ApplicationName", "jdbc"}, {"options", "-c work_mem=7MB -c search_path=a,b"},
            {"options", "-c no_such=1"}, {"currentSchema", "x,public"}, {"assumeMinServerVersion", "14"}, {"readOnly", "true"}, {"replication", "false"},
            {"preferQueryMode", "simple"}, {"preferQueryMode", "extendedForPrepared"}, {"preferQueryMode", "extendedCacheEverything"},
            {"binaryTransfer", "false"}, {"defaultRowFetchSize", "7"}, {"targetServerType", "primary"}, {"targetServerType", "secondary"},
            {"connectTimeout", "5", "loginTimeout", "5", "socketTimeout", "30"}, {"allowEncodingChanges", "true"}, {"cleanupSavepoints", "true"} };
        for (String[] more : cases) {
            say("#", Arrays.toString(more));
            refused(() -> {
                try (Connection conn = connect(more)) {
                    DatabaseMetaData about = conn.getMetaData();
                    say(about.getDatabaseProductVersion(), about.getUserName(), conn.getCatalog(), conn.getSchema(), conn.isReadOnly(), conn.isValid(5));
                    say(new TreeMap<>(conn.unwrap(PGConnection.class).getParameterStatuses()));
                    int pid = conn.unwrap(PGConnection.class).getBackendPID();
                    sayOwn(ask(conn, "select pg_backend_pid() = " + pid));
                    say(ask(conn, "select current_setting('work_mem'), current_setting('search_path')"));
                }
            });
        }
    }

    static void types() throws Exception {
        for (String threshold : new String[] {"-1", "0", "1", "5"}) {
            try (Connection conn = connect("prepareThreshold", threshold)) {
                PreparedStatement all = conn.prepareStatement("select ?::bool, ?::int2, ?::int4, ?::int8, ?::float4, ?::float8, ?::numeric, ?::text, ?::bytea,"
                    + " ?::date, ?::time, ?::timestamp, ?::timestamptz, ?::uuid, ?::int[], ?::jsonb, ?::interval, ?::point");
                for (int turn = 0; turn < 7; turn++) {
                    all.setBoolean(1, turn % 2 == 0);
                    all.setShort(2, (short) -turn);
                    all.setInt(3, turn * 1000);
                    all.setLong(4, Long.MAX_VALUE - turn);
                    all.setFloat(5, turn / 2f);
                    all.setDouble(6, Double.MIN_VALUE);
                    all.setBigDecimal(7, new BigDecimal("1234567890.0987654321"));
                    all.setString(8, "text \u00e4\u20ac");
                    all.setBytes(9, new byte[] {0, 1, (byte) 255});
                    all.setObject(10, LocalDate.of(2024, 2, 29));
                    all.setObject(11, LocalTime.of(23, 59, 59));
                    all.setObject(12, LocalDateTime.of(2000, 1, 1, 1, 1));
                    all.setObject(13, OffsetDateTime.of(1999, 12, 31, 23, 59, 59, 0, ZoneOffset.UTC));
                    all.setObject(14, new UUID(1, turn));
                    all.setArray(15, conn.createArrayOf("int4", new Integer[] {1, null, turn}));
                    all.setObject(16, "{\"a\": [1, null]}", Types.OTHER);
                    all.setObject(17, new PGInterval(0, 1, -3, 4, 5, 6.7));
                    all.setObject(18, new org.postgresql.geometric.PGpoint(1.5, -2));
                    if (turn == 3) for (int i = 1; i <= 18; i++) all.setNull(i, Types.NULL);
                    try (ResultSet found = all.executeQuery()) {
                        say(threshold, turn, rows(found));
                        ResultSetMetaData about = found.getMetaData();
                        if (turn == 0) for (int i = 1; i <= 18; i++) say(about.getColumnTypeName(i), about.getPrecision(i), about.getColumnClassName(i));
                    }
                }
                sayOwn(ask(conn, "select count(*), bool_and(statement like 'select $1%') from pg_prepared_statements where statement not like '%pg_prepared%'"));
            }
        }
    }

    static void preparedStatements() throws Exception {
        try (Connection conn = connect("prepareThreshold", "1", "preparedStatementCacheQueries", "10")) {
            for (int turn = 0; turn < 3; turn++) {
                long sum = 0;
                for (int number = 0; number < 60; number++) {
                    try (PreparedStatement one = conn.prepareStatement("select ?::int + " + number)) {
                        one.setInt(1, turn);
                        ResultSet found = one.executeQuery();
                        found.next();
                        sum += found.getInt(1);
                    }
                }
                say(sum);
                sayOwn(ask(conn, "select count(*) <= 12 from pg_prepared_statements"));
            }
            execute(conn, "create temp table shape (a int)");
            PreparedStatement stars = conn.prepareStatement("select * from shape");
            say(rows(stars.executeQuery()));
            execute(conn, "alter table shape add b text");
            // Outside of a transaction the driver may prepare it again by itself.
            refused(() -> say(rows(stars.executeQuery())));
            execute(conn, "deallocate all");
            refused(() -> say(rows(stars.executeQuery())));
            conn.setAutoCommit(false);
            execute(conn, "alter table shape drop b");
            refused(() -> say(rows(stars.executeQuery())));
            refused(() -> say(ask(conn, "select 1")));
            conn.rollback();
            PreparedStatement divides = conn.prepareStatement("select 10 / ?::int");
            for (int by : new int[] {1, 2, 0, 5}) {
                divides.setInt(1, by);
                refused(() -> say(rows(divides.executeQuery())));
                conn.rollback();
            }
            ParameterMetaData about = conn.prepareStatement("select ?::int, ?::text").getParameterMetaData();
            say(about.getParameterCount(), about.getParameterTypeName(1), about.getParameterTypeName(2));
        }
    }

    static void batches() throws Exception {
        for (String rewrite : new String[] {"false", "true"}) {
            try (Connection conn = connect("reWriteBatchedInserts", rewrite)) {
                execute(conn, "create table batched (id int primary key, t text)");
                PreparedStatement insert = conn.prepareStatement("insert into batched values (?, ?)");
                for (int number = 0; number < 5000; number++) {
                    insert.setInt(1, number);
                    insert.setString(2, "x".repeat(number % 300));
                    insert.addBatch();
                }
                int[] counts = insert.executeBatch();
                say(counts.length, ask(conn, "select count(*), sum(length(t)) from batched"));
                for (int number : new int[] {6000, 6001, 6000, 6002}) {
                    insert.setInt(1, number);
                    insert.setString(2, "y");
                    insert.addBatch();
                }
                refused(insert::executeBatch);
                conn.setAutoCommit(false);
                PreparedStatement keys = conn.prepareStatement("insert into batched values (?, 'k')", Statement.RETURN_GENERATED_KEYS);
                for (int number = 7000; number < 7010; number++) { keys.setInt(1, number); keys.addBatch(); }
                keys.executeBatch();
                say(rows(keys.getGeneratedKeys()));
                conn.rollback();
                conn.setAutoCommit(true);
                Statement mixed = conn.createStatement();
                for (String sql : new String[] {"update batched set t = 'z' where id < 10", "delete from batched where id = 11", "select 1", "drop table missing", "delete from batched"}) mixed.addBatch(sql);
                refused(mixed::executeBatch);
                say(ask(conn, "select count(*) from batched"));
                execute(conn, "drop table batched");
            }
        }
    }

    static void transactions() throws Exception {
        try (Connection conn = connect("autosave", "always"); Connection plain = connect()) {
            conn.setAutoCommit(false);
            execute(conn, "create table kept (id int primary key)");
            execute(conn, "insert into kept values (1)");
            refused(() -> execute(conn, "insert into kept values (1)"));
            say(ask(conn, "select * from kept"));
            conn.commit();
            plain.setAutoCommit(false);
            plain.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            execute(plain, "insert into kept values (2)");
            Savepoint point = plain.setSavepoint("point"), unnamed = plain.setSavepoint();
            refused(() -> execute(plain, "select 1/0"));
            refused(() -> execute(plain, "select 1"));
            plain.rollback(unnamed);
            plain.rollback(point);
            plain.releaseSavepoint(point);
            say(ask(plain, "select * from kept order by 1"));
            plain.rollback();
            plain.setReadOnly(true);
            refused(() -> execute(plain, "insert into kept values (3)"));
            plain.rollback();
            plain.setReadOnly(false);
            execute(plain, "drop table kept");
            plain.commit();
            plain.setAutoCommit(true);
            Statement many = plain.createStatement();
            boolean more = many.execute("select 1; set work_mem = '5MB'; select 2; begin; select 3; commit");
            do {
                say(more, more ? rows(many.getResultSet()) : many.getUpdateCount());
                more = many.getMoreResults();
            } while (more || many.getUpdateCount() != -1);
            refused(() -> execute(plain, "select 1; select 1/0; select 2"));
        }
    }

    static void cursors() throws Exception {
        try (Connection conn = connect()) {
            conn.setAutoCommit(false);
            Statement pieces = conn.createStatement();
            pieces.setFetchSize(13);
            long sum = 0;
            try (ResultSet found = pieces.executeQuery("select n, repeat('x', n % 50) from generate_series(1, 3000) n")) {
                while (found.next()) sum += found.getInt(1) + found.getString(2).length();
            }
            say(sum);
            ResultSet first = pieces.executeQuery("select generate_series(1, 1000)");
            first.next();
            say(first.getInt(1), ask(conn, "select 'meanwhile'"));
            for (int i = 0; i < 20; i++) first.next();
            say(first.getInt(1));
            refused(() -> {
                try (ResultSet failing = pieces.executeQuery("select 10 / (50 - n) from generate_series(1, 100) n")) {
                    int count = 0;
                    while (failing.next()) if (++count % 10 == 0) say(count);
                }
            });
            conn.rollback();
            Statement scrolls = conn.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
            execute(conn, "create temp table scrolled as select generate_series(1, 10) id; alter table scrolled add primary key (id)");
            ResultSet found = scrolls.executeQuery("select * from scrolled order by id");
            found.absolute(5);
            found.updateInt(1, 500);
            found.updateRow();
            found.last();
            say(found.getInt(1), ask(conn, "select max(id) from scrolled"));
            conn.commit();
            Statement held = conn.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY, ResultSet.HOLD_CURSORS_OVER_COMMIT);
            held.setFetchSize(3);
            ResultSet over = held.executeQuery("select generate_series(1, 10)");
            over.next();
            conn.commit();
            int count = 1;
            while (over.next()) count++;
            say(count);
            execute(conn, "create function opens() returns refcursor language plpgsql as $$ declare r refcursor := 'r'; begin open r for select generate_series(1, 4); return r; end $$");
            CallableStatement call = conn.prepareCall("{ ? = call opens() }");
            call.registerOutParameter(1, Types.OTHER);
            call.execute();
            say(rows((ResultSet) call.getObject(1)));
            conn.rollback();
        }
    }

    static void copy() throws Exception {
        try (Connection conn = connect()) {
            execute(conn, "create temp table copied (id int primary key, t text)");
            CopyManager manager = conn.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder lines = new StringBuilder();
            for (int number = 0; number < 60000; number++) lines.append(number).append("\tline ").append(number).append('\n');
            say(manager.copyIn("copy copied from stdin", new StringReader(lines.toString())));
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            say(manager.copyOut("copy copied to stdout (format binary)", out), digest(out.toByteArray()));
            execute(conn, "truncate copied");
            say(manager.copyIn("copy copied from stdin (format binary)", new ByteArrayInputStream(out.toByteArray())));
            refused(() -> manager.copyIn("copy copied from stdin", new StringReader("70000\tx\n70000\ty\n")));
            refused(() -> manager.copyIn("copy copied from stdin", new StringReader("bad\tx\n")));
            CopyIn aborted = manager.copyIn("copy copied from stdin");
            aborted.writeToCopy("80000\tx\n".getBytes(), 0, 8);
            aborted.flushCopy();
            refused(aborted::cancelCopy);
            refused(() -> manager.copyOut("copy (select 1 / (5 - n) from generate_series(1, 9) n) to stdout", new ByteArrayOutputStream()));
            refused(() -> manager.copyOut("copy missing to stdout", new ByteArrayOutputStream()));
            say(ask(conn, "select count(*), sum(id) from copied"));
        }
    }

    static void notifications() throws Exception {
        try (Connection ear = connect(); Connection mouth = connect()) {
            execute(ear, "listen channel");
            execute(mouth, "notify channel; notify channel, 'payload'");
            execute(mouth, "select pg_notify('channel', repeat('\u00fc', 3000))");
            execute(ear, "notify channel, 'own'");
            PGConnection listens = ear.unwrap(PGConnection.class);
            int mouthPid = mouth.unwrap(PGConnection.class).getBackendPID(), heard = 0;
            while (heard < 4) {
                org.postgresql.PGNotification[] all = listens.getNotifications(20000);
                if (all == null) break;
                for (org.postgresql.PGNotification one : all) {
                    heard++;
                    String payload = one.getParameter();
                    say(one.getName(), payload.length() > 100 ? payload.length() : payload);
                    sayOwn(one.getPID() == mouthPid ? "mouth" : one.getPID() == listens.getBackendPID() ? "ear" : "nobody");
                }
            }
            execute(ear, "unlisten *");
            execute(mouth, "notify channel");
            say(ask(ear, "select count(*) from pg_listening_channels()"), listens.getNotifications().length);
        }
    }

    static void cancel() throws Exception {
        try (Connection conn = connect()) {
            Statement sleeps = conn.createStatement();
            ExecutorService aside = Executors.newSingleThreadExecutor();
            Future<?> done = aside.submit(() -> { untilRunning("cancel by jdbc"); sleeps.cancel(); return null; });
            refused(() -> sleeps.execute("select pg_sleep(60) /* cancel by jdbc */"));
            done.get();
            aside.shutdown();
            Statement bounded = conn.createStatement();
            bounded.setQueryTimeout(1);
            refused(() -> bounded.execute("select pg_sleep(60)"));
            execute(conn, "set statement_timeout = 50");
            refused(() -> execute(conn, "select pg_sleep(60)"));
            execute(conn, "reset statement_timeout");
            say(ask(conn, "select 'usable'"));
        }
    }

    static void largeObjects() throws Exception {
        try (Connection conn = connect()) {
            conn.setAutoCommit(false);
            LargeObjectManager manager = conn.unwrap(PGConnection.class).getLargeObjectAPI();
            long id = manager.createLO();
            LargeObject object = manager.open(id);
            byte[] block = new byte[700000];
            Arrays.fill(block, (byte) 7);
            for (int i = 0; i < 4; i++) object.write(block);
            object.seek(100);
            say(object.size(), object.tell(), digest(object.read(2000000)));
            object.truncate(10);
            object.close();
            refused(() -> manager.open(1).read(1));
            conn.rollback();
        }
    }

    static void errors() throws Exception {
        try (Connection conn = connect("logServerErrorDetail", "true")) {
            execute(conn, "create table parent (id int primary key); create table child (p int references parent, n int check (n > 0))");
            for (String sql : new String[] {"selekt", "select * from missing", "insert into child values (5, 1)", "insert into child values (null, -1)",
                "select 1/0", "select '\u20ac' ~ '('", "do $$ begin raise exception 'own' using errcode = 'AB123', detail = 'd', hint = 'h', table = 't', constraint = 'c'; end $$"}) {
                refused(() -> execute(conn, sql));
                refused(() -> conn.prepareStatement(sql).execute());
            }
            Statement warns = conn.createStatement();
            warns.execute("do $$ begin raise notice 'n'; raise warning 'w' using hint = 'h', errcode = '01ABC'; end $$");
            for (SQLWarning one = warns.getWarnings(); one != null; one = one.getNextWarning()) say(one.getSQLState(), one.getMessage());
            execute(conn, "drop table child, parent");
            execute(conn, "set application_name = 'other'; set timezone = 'Asia/Tokyo'");
            say(new TreeMap<>(conn.unwrap(PGConnection.class).getParameterStatuses()));
            refused(() -> execute(conn, "set client_encoding = 'LATIN1'"));
            say(conn.isClosed());
        }
        try (Connection conn = connect()) {
            conn.setClientInfo("ApplicationName", "by client info");
            say(ask(conn, "show application_name"), conn.getMetaData().getTables(null, "pg_catalog", "pg_cl%", null).next());
            execute(conn, "set idle_session_timeout = '50ms'");
            Thread.sleep(500);
            try {
                sayOwn(ask(conn, "select 1"));
            } catch (SQLException error) {
                sayOwn(error.getSQLState());
            }
        }
    }

    static void large() throws Exception {
        try (Connection conn = connect()) {
            for (int size : new int[] {8191, 8192, 65536, 1 << 20, 32 << 20}) {
                byte[] value = new byte[size];
                Arrays.fill(value, (byte) size);
                PreparedStatement back = conn.prepareStatement("select ?::bytea");
                back.setBytes(1, value);
                ResultSet found = back.executeQuery();
                found.next();
                say(size, Arrays.equals(found.getBytes(1), value));
            }
            int most = 32767;
            for (int count : new int[] {most, 65535, 65536}) {
                refused(() -> {
                    PreparedStatement many = conn.prepareStatement("select sum(v) from unnest(array[?" + ",?".repeat(count - 1) + "]::int[]) v");
                    for (int i = 1; i <= count; i++) many.setInt(i, i);
                    say(count, rows(many.executeQuery()));
                });
            }
            PreparedStatement texts = conn.prepareStatement("select sum(length(v)) from unnest(?::text[]) v");
            String[] all = new String[2000];
            Arrays.fill(all, "y".repeat(1100));
            texts.setArray(1, conn.createArrayOf("text", all));
            say(rows(texts.executeQuery()));
            say(ask(conn, "select n from generate_series(1, 100000) n").length());
        }
    }

    static void twoPhases() throws Exception {
        org.postgresql.xa.PGXADataSource source = new org.postgresql.xa.PGXADataSource();
        source.setUrl("jdbc:postgresql://localhost:" + PORT + "/" + System.getenv("PGDATABASE") + "?sslmode=require");
        source.setUser(System.getenv("PGUSER"));
        source.setPassword(System.getenv("PGPASSWORD"));
        javax.sql.XAConnection both = source.getXAConnection();
        javax.transaction.xa.XAResource resource = both.getXAResource();
        javax.transaction.xa.Xid id = new javax.transaction.xa.Xid() {
            public int getFormatId() { return 1; }
            public byte[] getGlobalTransactionId() { return new byte[] {1, 2}; }
            public byte[] getBranchQualifier() { return new byte[] {3}; }
        };
        Connection conn = both.getConnection();
        resource.start(id, javax.transaction.xa.XAResource.TMNOFLAGS);
        execute(conn, "create table phased (a int)");
        resource.end(id, javax.transaction.xa.XAResource.TMSUCCESS);
        say(resource.prepare(id), resource.recover(javax.transaction.xa.XAResource.TMSTARTRSCAN).length);
        resource.commit(id, false);
        execute(conn, "drop table phased");
        both.close();
    }

    public static void main(String[] names) throws Exception {
        STEPS.put("logIn", WithJdbc::logIn);
        STEPS.put("types", WithJdbc::types);
        STEPS.put("preparedStatements", WithJdbc::preparedStatements);
        STEPS.put("batches", WithJdbc::batches);
        STEPS.put("transactions", WithJdbc::transactions);
        STEPS.put("cursors", WithJdbc::cursors);
        STEPS.put("copy", WithJdbc::copy);
        STEPS.put("notifications", WithJdbc::notifications);
        STEPS.put("cancel", WithJdbc::cancel);
        STEPS.put("largeObjects", WithJdbc::largeObjects);
        STEPS.put("errors", WithJdbc::errors);
        STEPS.put("large", WithJdbc::large);
        STEPS.put("twoPhases", WithJdbc::twoPhases);
        for (Map.Entry<String, Step> step : STEPS.entrySet()) {
            if (names.length > 0 && !Arrays.asList(names).contains(step.getKey())) continue;
            say("##", step.getKey());
            try {
                step.getValue().run();
            } catch (Throwable error) {
                say("UNEXPECTED in", step.getKey());
                error.printStackTrace();
                System.exit(1);
            }
        }
        System.exit(0);
    }
}
