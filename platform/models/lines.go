package models

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// lines are the lines of a file at which its keys stand, by their path, such as "models/gpt-5/input".
type lines map[string]int

func linesOf(root *yaml.Node) lines {
	l := lines{}
	if len(root.Content) > 0 {
		l.add("", root.Content[0])
	}
	return l
}

func (l lines) add(path string, node *yaml.Node) {
	if node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := path + node.Content[i].Value
			l[key] = node.Content[i].Line
			l.add(key+"/", node.Content[i+1])
		}
	}
	if node.Kind == yaml.SequenceNode {
		for i, element := range node.Content {
			key := fmt.Sprintf("%s%d", path, i)
			l[key] = element.Line
			l.add(key+"/", element)
		}
	}
}

// mistake is the error for what stands at a path, or at the nearest place above it.
func (l lines) mistake(path, what string, args ...any) error {
	text := fmt.Errorf(what, args...) //nolint:err113 // the text is for people
	for {
		if line, known := l[path]; known {
			return fmt.Errorf("line %d: %w", line, text)
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return text
		}
		path = path[:i]
	}
}
