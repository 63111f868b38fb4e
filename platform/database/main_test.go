package database_test

import (
	"os"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(outsiderPath); path != "" {
		os.Exit(outsider(path))
	}
	if url := os.Getenv(frozenURL); url != "" {
		os.Exit(holdLocks(url))
	}
	goleak.VerifyTestMain(m)
}

// wallet is the schema of these tests.
var wallet = database.Migrations{Service: "wallet", FS: fstest.MapFS{
	"00001_wallet.sql": {Data: []byte(`-- +goose Up
CREATE TABLE wallet (id TEXT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0), note TEXT UNIQUE, at TIMESTAMP);
CREATE TABLE entry (id TEXT PRIMARY KEY, wallet TEXT NOT NULL REFERENCES wallet (id), amount BIGINT NOT NULL);
-- +goose Down
DROP TABLE entry;
DROP TABLE wallet;
`)},
}}
