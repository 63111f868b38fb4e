package sync_test

import "github.com/trivet-dev/trivet/platform/settings"

func sqliteAt(folder string) settings.Secret { return settings.NewSecret("sqlite://" + folder) }
