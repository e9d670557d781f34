"""Assessments of the year map: samples of points, interpreters' answers, accuracy with its error."""
