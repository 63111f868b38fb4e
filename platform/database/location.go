package database

import (
	"errors"
	"path"
	"strings"

	"github.com/trivet-dev/trivet/platform/settings"
)

// servicePlaceholder stands for the name of the service in the address of a pooler.
const servicePlaceholder = "{service}"

// For returns the Config of one service's own store within the database that all services are given: on PostgreSQL a
// schema named like the service, with the service's name for "{service}" in the address; on SQLite a file of its own, which is PATH/SERVICE.db, or for a PATH that ends in .db,
// the name with the service put before the ending (data/trivet.db: data/trivet.billing.db).
func For(service string, databaseURL settings.Secret) Config {
	raw := databaseURL.Reveal()
	file, ok := strings.CutPrefix(raw, "sqlite://")
	if !ok || file == "" {
		return Config{URL: settings.NewSecret(strings.ReplaceAll(raw, servicePlaceholder, service)), Schema: service}
	}
	if base, isFile := strings.CutSuffix(file, ".db"); isFile {
		file = base + "." + service + ".db"
	} else {
		file = path.Join(file, service+".db")
	}
	return Config{URL: settings.NewSecret("sqlite://" + file), Schema: service}
}

// OnPostgres reports whether the database is PostgreSQL.
func (c Config) OnPostgres() bool { return strings.HasPrefix(c.URL.Reveal(), "postgres") }

// CheckURL reports what is wrong with DATABASE_URL and DATABASE_DIRECT_URL, which may be empty, without opening them. The error
// never prints a password.
func CheckURL(databaseURL, directURL settings.Secret) error {
	_, _, err := locate(Config{URL: databaseURL, DirectURL: directURL})
	return err
}

// locate chooses the dialect by the address.
func locate(config Config) (target, Config, error) {
	raw := config.URL.Reveal()
	scheme, rest, _ := strings.Cut(raw, "://")
	switch {
	case raw == "":
		return nil, config, errors.New("DATABASE_URL is not set: write sqlite://FOLDER or postgres://USER:PASSWORD@HOST/NAME")
	case scheme == "sqlite" && config.DirectURL.IsSet():
		return nil, config, errors.New("DATABASE_DIRECT_URL is set, and DATABASE_URL is not PostgreSQL: remove DATABASE_DIRECT_URL")
	case scheme == "sqlite":
		config = config.withDefaults(SQLite)
		to, err := newSQLiteFile(rest, config)
		return to, config, err
	case scheme == "postgres", scheme == "postgresql":
		config = config.withDefaults(Postgres)
		to, err := newPostgresServer(raw, config)
		return to, config, err
	default:
		return nil, config, errors.New("DATABASE_URL must begin with sqlite:// or postgres://")
	}
}
