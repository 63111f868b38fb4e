// Command docs writes the tables in docs/ that are made from the code.
package main

import (
	"fmt"
	"os"

	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/internal/docgen"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := os.WriteFile(docgen.RetriesFile, []byte(docgen.Retries()), 0o644); err != nil { //nolint:gosec // source code is for all to read
		return err
	}
	for _, t := range docgen.Tables(allinone.Settings(), allinone.ServiceSettings()) {
		old, err := os.ReadFile(t.File)
		if err != nil {
			return err
		}
		table, err := t.Make()
		if err != nil {
			return err
		}
		text, err := docgen.Replace(string(old), t.Name, table)
		if err != nil {
			return fmt.Errorf("%s: %w", t.File, err)
		}
		if err := os.WriteFile(t.File, []byte(text), 0o644); err != nil { //nolint:gosec // documentation is for all to read
			return err
		}
	}
	return nil
}
