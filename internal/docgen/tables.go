package docgen

// Table is a generated table and where it stands.
type Table struct {
	// File is the document, from the root of the repository.
	File string
	// Name is the table's marker in it.
	Name string
	// Make writes the table.
	Make func() (string, error)
}

// Tables are all of them.
func Tables() []Table {
	return []Table{
		{"docs/errors.md", "errors", func() (string, error) { return Errors(), nil }},
		{"docs/security.md", "rules", Rules},
		{"docs/settings.md", "settings", Settings},
	}
}
