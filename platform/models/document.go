package models

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// decimal leaves out what YAML reads in another base: 0600 is 384.
var decimal = regexp.MustCompile(`^[-+]?(0|[1-9][0-9_]*)$`)

// document is the content of a price list.
type document struct {
	Targets map[string]targetRow `yaml:"targets"`
	Models  map[string]row       `yaml:"models"`
}

// readDocument reads the only YAML document of a price list.
func readDocument(data []byte) (file document, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return file, fmt.Errorf("not a price list: %w", err)
	}
	if len(file.Models) == 0 {
		return file, errors.New("not a price list: \"models\" is empty")
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		return file, fmt.Errorf("line %d: the file must end before this second document", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return file, fmt.Errorf("the file must end after one document: %w", err)
	}
	return file, nil
}

// decimals notes each number that is written in another base than ten.
func (f *reading) decimals(node *yaml.Node) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 1; i < len(node.Content); i += 2 { // the values: a name may look like any number
			f.decimals(node.Content[i])
		}
	case yaml.SequenceNode, yaml.DocumentNode:
		for _, element := range node.Content {
			f.decimals(element)
		}
	case yaml.AliasNode: // what it stands for is read at its own place
	case yaml.ScalarNode:
		if node.ShortTag() == "!!int" && !decimal.MatchString(node.Value) { // not shown: a mistake may have put a key there
			f.mistakes = append(f.mistakes, fmt.Errorf("line %d: a number must be decimal, without a leading zero or a prefix such as 0x", node.Line))
		}
	}
}
