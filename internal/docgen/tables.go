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

// Tables are all of them. The all-in-one's own settings are an argument: see [Settings].
func Tables(allInOne ...any) []Table {
	return []Table{
		{"docs/errors.md", "errors", func() (string, error) { return Errors(), nil }},
		{"docs/security.md", "rules", Rules},
		{"docs/settings.md", "settings", func() (string, error) { return Settings(allInOne...) }},
	}
}
