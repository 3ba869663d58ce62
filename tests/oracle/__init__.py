"""An oracle for the reading of XML: documents made from a schema, spoiled on purpose, and judged by lxml and by us."""
