"""The venues: each package translates one wire and keeps its links alive; none holds an opinion or a position."""
