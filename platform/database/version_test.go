package database_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

func TestPostgresVersion(t *testing.T) {
	db := databasetest.Postgres(t, wallet)
	version, err := db.PostgresVersion(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, version, database.TestedPostgres, "the tests run with a version that counts as tested")
	require.Less(t, version, 100)
}
