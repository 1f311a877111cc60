"""What decides a result, as plain content with one hash: settings, arrays, files, objects, and code."""
