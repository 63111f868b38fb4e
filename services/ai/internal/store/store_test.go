package store_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/ai/internal/store"
	"github.com/trivet-dev/trivet/services/ai/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) { storetest.Run(t, store.New(db)) })
}

func TestRunningResponses(t *testing.T) {
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) { storetest.RunBackground(t, store.New(db)) })
}
