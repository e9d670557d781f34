"""Where ore may lie: ground as channels, patches of it as graphs, networks, and the maps they draw."""
