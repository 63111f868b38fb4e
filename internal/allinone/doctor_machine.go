package allinone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/billing"
)

const (
	// lowDisk and fullDisk are free bytes.
	lowDisk, fullDisk = 2 << 30, 200 << 20
	// closeTime bounds the closing of a database.
	closeTime = 5 * time.Second
)

// database opens each service's store beside its owner, and compares its migrations with those of this program.
func (d *doctor) database(ctx context.Context) []Finding {
	var found []Finding
	var all serverUse
	if !d.config.Store.DatabaseURL.IsSet() || d.config.Store.Validate(nil) != nil {
		return d.skipAll(unusable("DATABASE_URL"))
	}
	var made, missing []string
	for _, s := range []struct {
		name       string
		migrations []database.Migrations
	}{{"auth", auth.Migrations()}, {"ai", ai.Migrations()}, {"billing", billing.Migrations()}} {
		at := d.config.Store.ForTool(s.name)
		if !exists(at) {
			missing = append(missing, s.name)
			continue
		}
		made = append(made, s.name)
		for _, f := range d.store(ctx, at, d.config.Store.For(s.name), s.migrations, &all) {
			if !slices.Contains(found, f) { // the stores share a server
				found = append(found, f)
			}
		}
	}
	const later = "the first start makes the file"
	if len(made) == 0 {
		return d.skipAll(later)
	}
	if len(missing) > 0 {
		d.skip("the store of "+strings.Join(missing, " and of "), later)
	}
	return append(found, all.findings()...)
}

// exists reports whether the file of a store exists. PostgreSQL has none.
func exists(at database.Config) bool {
	file, ok := strings.CutPrefix(at.URL.Reveal(), "sqlite://")
	if !ok {
		return true
	}
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}

// serverUse is what the processes of Trivet need of a PostgreSQL server.
type serverUse struct{ usable, foreign, need, processes int }

// add counts the processes that have one service's store open, and at least one.
func (u *serverUse) add(c database.Connections, config database.Config) {
	if c.Usable == 0 {
		return
	}
	processes := max(1, c.Processes)
	u.usable, u.foreign = c.Usable, max(u.foreign, c.Foreign)
	u.need += processes * config.PerProcess()
	u.processes = max(u.processes, processes)
}

func (u *serverUse) findings() []Finding {
	if u.need+u.foreign <= u.usable {
		return nil
	}
	return []Finding{warning("DATABASE_READ_CONNECTIONS", fmt.Sprintf(
		"PostgreSQL allows %d connections; %d replicas of the services may open %d, and other programs have %d open", u.usable, u.processes, u.need, u.foreign),
		"raise max_connections, lower DATABASE_READ_CONNECTIONS, or use a pooler with DATABASE_DIRECT_URL")}
}

func (d *doctor) store(ctx context.Context, at, running database.Config, migrations []database.Migrations, all *serverUse) (found []Finding) {
	at.Beside = true
	db, err := database.Open(ctx, at)
	if err != nil {
		return []Finding{failure("DATABASE_URL", err.Error(), "start the database, and check host, name, user and password")}
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if err := db.Close(closing); err != nil {
			found = append(found, warning("DATABASE_URL", "closing the database failed: "+err.Error(), "check the database's log"))
		}
	}()
	d.connections(ctx, db, running, all)
	found = postgresVersion(ctx, db)
	if err := database.SchemaCheck(db, migrations...)(ctx); err != nil {
		return append(found, failure("DATABASE_URL", err.Error(), "run `trivet migrate` with this version, or start the version that migrated the database"))
	}
	return found
}

// connections counts what the processes of a store may open.
func (d *doctor) connections(ctx context.Context, db *database.DB, running database.Config, all *serverUse) {
	const part = "the number of connections"
	if running.DirectURL.IsSet() {
		d.skip(part, "the services share those of a pooler")
		return
	}
	c, err := db.Connections(ctx)
	if err != nil {
		d.skip(part, err.Error())
		return
	}
	all.add(c, running)
}

// postgresVersion reports a server that is too old.
func postgresVersion(ctx context.Context, db *database.DB) []Finding {
	version, err := db.PostgresVersion(ctx)
	if err != nil {
		return []Finding{warning("DATABASE_URL", err.Error(), "check the database's log")}
	}
	return server{"PostgreSQL", "DATABASE_URL", database.OldestPostgres, database.TestedPostgres}.judge(version)
}

// redis asks the Redis that replicas share limits in.
func (d *doctor) redis(ctx context.Context) []Finding {
	if !d.config.AI.Redis.IsSet() {
		return d.skipAll("REDIS_URL is not set")
	}
	if err := ai.CheckRedis(ctx, d.config.AI.Redis); err != nil {
		return []Finding{failure("REDIS_URL", "Redis cannot be used: "+err.Error()+"; each process would count limits for itself",
			"start Redis, and check host, password and the permission to run scripts")}
	}
	version, err := ai.RedisVersion(ctx, d.config.AI.Redis)
	if err != nil {
		return []Finding{warning("REDIS_URL", "the server's version cannot be read: "+err.Error(), "check that Redis takes further connections")}
	}
	return server{"Redis", "REDIS_URL", ai.OldestRedis, ai.TestedRedis}.judge(version)
}

// disk looks at the free space of the folder of the SQLite files.
func (d *doctor) disk(context.Context) []Finding {
	path, err := database.File(database.For("billing", d.config.Store.DatabaseURL).URL)
	if err != nil {
		return d.skipAll("DATABASE_URL names no file; look at the disk of the PostgreSQL server")
	}
	free, err := d.Free(filepath.Dir(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.skipAll("the first start makes the folder")
	case err != nil:
		return []Finding{warning("TRIVET_DATA_DIR", "the free space of the disk cannot be read: "+err.Error(), "check it with df")}
	case free < fullDisk:
		return []Finding{failure("TRIVET_DATA_DIR", fmt.Sprintf("the disk has %d MiB left: writes will fail soon", free>>20), "make room, or move the folder to a larger disk")}
	case free < lowDisk:
		return []Finding{warning("TRIVET_DATA_DIR", fmt.Sprintf("the disk has %d MiB left", free>>20), "make room, or move the folder to a larger disk")}
	}
	return nil
}

// ports checks that the addresses are free, or taken by a running Trivet.
func (d *doctor) ports(ctx context.Context) []Finding {
	if d.running(ctx) {
		return d.skipAll("a running Trivet uses them")
	}
	var found []Finding
	for _, at := range []serve.Listening{
		{Setting: "TRIVET_HTTP_ADDR", Address: d.config.Edge.HTTPAddr},
		{Setting: "TRIVET_GRPC_ADDR", Address: d.config.Host.GRPCAddr},
		{Setting: "TRIVET_OPS_ADDR", Address: d.config.Host.OpsAddr},
	} {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.Address)
		if err != nil && at.Setting == "TRIVET_HTTP_ADDR" && isEdge(ctx, at.Address) {
			d.skip(at.Setting, "an edge of Trivet uses it")
			continue
		}
		if err != nil {
			found = append(found, failure(at.Setting, err.Error(), "stop the program that uses the address, or choose another one"))
			continue
		}
		_ = listener.Close() // it was never used
	}
	return found
}

// askTime bounds a question to a program on this machine.
const askTime = 2 * time.Second

// running reports whether a Trivet process answers at the ops address.
func (d *doctor) running(ctx context.Context) bool {
	_, ok := ask(ctx, "http://"+reachable(d.config.Host.OpsAddr)+"/healthz")
	return ok
}

// isEdge reports whether the program at an address is an edge of Trivet, whose ops address the doctor may not know.
func isEdge(ctx context.Context, address string) bool {
	body, ok := ask(ctx, "http://"+reachable(address)+"/api/v1/status")
	var page struct {
		Services map[string]any `json:"services"`
	}
	if !ok || json.Unmarshal(body, &page) != nil {
		return false
	}
	_, auth := page.Services["auth"]
	_, billing := page.Services["billing"]
	return auth && billing
}

// ask returns the beginning of a good answer.
func ask(ctx context.Context, address string) (body []byte, ok bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, false
	}
	response, err := (&http.Client{Timeout: askTime}).Do(request)
	if err != nil {
		return nil, false
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(response.Body, 64<<10))
	return body, err == nil && response.StatusCode == http.StatusOK
}
