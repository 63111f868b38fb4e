package settings

import (
	"crypto/sha256"
	"fmt"
)

// SecretNames lists the settings of structs that hold secrets, second names included.
func SecretNames(structs ...any) ([]string, error) {
	docs, err := Describe(structs...)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range docs {
		if !d.Secret {
			continue
		}
		names = append(names, d.Name)
		if d.Alias != "" {
			names = append(names, d.Alias)
		}
	}
	return names, nil
}

// FileStates returns what stands for the content of the file of each named setting that has one (NAME_FILE): two states of a file are equal
// when its content is. The content cannot be found from a state. A file that cannot be read has the state of its error.
func FileStates(getenv func(string) string, names []string) map[string]string {
	states := map[string]string{}
	for _, name := range names {
		path := getenv(name + fileSuffix)
		if path == "" {
			continue
		}
		value, err := readValue(path)
		if err != nil {
			value = "not readable: " + cause(err)
		}
		states[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(value)))
	}
	return states
}
