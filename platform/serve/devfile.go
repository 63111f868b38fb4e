package serve

import (
	"os"
	"slices"

	"github.com/trivet-dev/trivet/platform/settings"
)

// DevFile holds settings for development. It is read in development only.
const DevFile = ".dev.vars"

// RefuseDevFile reports a DevFile in the folder that a production process starts in: it holds keys of developers, and nothing reads it.
func RefuseDevFile(get func(string) string) error {
	if !InProduction(get) {
		return nil
	}
	if _, err := os.Stat(DevFile); err != nil {
		return nil //nolint:nilerr // it is not there
	}
	return settings.Invalid(DevFile, "is in the folder that the program starts in, and TRIVET_ENV is production, which does not read it",
		"put the settings into the environment or into files (NAME_FILE), and start in a folder without "+DevFile)
}

// KnowTargets returns env with the settings that hold the keys of targets, whose names the price list gives. A price list that cannot be
// read gives none; Load reports it.
func KnowTargets(env settings.Env) settings.Env {
	var at PriceList
	if err := settings.Load(env.Get, &at); err != nil || at.List() == nil {
		return env
	}
	for _, t := range at.List().Content().Targets() {
		env.Also = append(slices.Clip(env.Also), t.Keys...)
	}
	return env
}
