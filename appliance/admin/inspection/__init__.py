"""Records of the inspector as people see them: decoded, masked, exported, edited to be sent again."""
