package database

import (
	"embed"
	"io/fs"
)

// Embedded returns the migrations that a service has in the folder "migrations" of its embedded files.
func Embedded(service string, files embed.FS) Migrations {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		return Migrations{Service: service, FS: broken{err}}
	}
	return Migrations{Service: service, FS: sub}
}

// broken is a file system that reports why it could not be made.
type broken struct{ err error }

// Open returns the reason.
func (b broken) Open(string) (fs.File, error) { return nil, b.err }
