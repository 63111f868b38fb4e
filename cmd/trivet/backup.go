package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

// stored returns the settings that name the databases: in development also those of .dev.vars.
func (p program) stored() (settings.Env, error) {
	if serve.InProduction(p.env.Get) {
		return p.env, nil
	}
	return p.env.WithFile(devFile)
}

func (p program) backup() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FOLDER",
		Short: "Copy the SQLite databases into a new folder while Trivet runs, and verify the copies",
		Long: "Copy the SQLite databases into a new folder while Trivet runs. Each copy is as of one moment. Afterwards every page of the\n" +
			"copies and every rule of the ledger is checked. Use pg_dump for PostgreSQL.",
		Example: "  trivet backup /backups/2026-11-29",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			env, err := p.stored()
			if err != nil {
				return err
			}
			return allinone.Backup(cmd.Context(), env, args[0], time.Now(), p.stdout)
		},
	}
}

func (p program) restore() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FOLDER",
		Short: "Verify a backup and put it in place of the SQLite databases; Trivet must not run",
		Long: "Verify a backup and put it in place of the SQLite databases. The replaced files stay beside them, with the time in their names.\n" +
			"Trivet must not run. Run `trivet reconcile` after the next start: it repairs what changed at the providers since the backup.",
		Example: "  trivet restore /backups/2026-11-29",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			env, err := p.stored()
			if err != nil {
				return err
			}
			return allinone.Restore(cmd.Context(), env, args[0], time.Now(), p.stdout)
		},
	}
}
