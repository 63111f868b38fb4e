// Written by TestTranslatedAnswersAreTyped of services/ai/internal/translate; do not edit.
import type { Answer, Events } from "./translated-types.ts";

export const text: Answer = {
 "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
 "object": "response",
 "created_at": 1764300000,
 "status": "completed",
 "background": false,
 "completed_at": 1764300001,
 "error": null,
 "incomplete_details": null,
 "instructions": null,
 "max_output_tokens": null,
 "max_tool_calls": null,
 "model": "m",
 "output": [
  {
   "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "message",
   "status": "completed",
   "content": [
    {
     "type": "output_text",
     "annotations": [],
     "logprobs": [],
     "text": "Hi"
    }
   ],
   "role": "assistant"
  }
 ],
 "parallel_tool_calls": true,
 "previous_response_id": null,
 "reasoning": {
  "effort": null,
  "summary": null
 },
 "service_tier": "default",
 "store": false,
 "temperature": 1,
 "text": {
  "format": {
   "type": "text"
  }
 },
 "tool_choice": "auto",
 "tools": [],
 "top_p": 1,
 "presence_penalty": 0,
 "frequency_penalty": 0,
 "top_logprobs": 0,
 "truncation": "disabled",
 "usage": {
  "input_tokens": 7,
  "input_tokens_details": {
   "cached_tokens": 0,
   "cache_write_tokens": 0
  },
  "output_tokens": 3,
  "output_tokens_details": {
   "reasoning_tokens": 0
  },
  "total_tokens": 10
 },
 "user": null,
 "safety_identifier": null,
 "prompt_cache_key": null,
 "metadata": {},
 "access_programs": null
};

export const everything: Answer = {
 "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
 "object": "response",
 "created_at": 1764300000,
 "status": "completed",
 "background": false,
 "completed_at": 1764300001,
 "error": null,
 "incomplete_details": null,
 "instructions": "i",
 "max_output_tokens": 64,
 "max_tool_calls": 2,
 "model": "m",
 "output": [
  {
   "id": "rs_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "reasoning",
   "summary": [],
   "content": [
    {
     "type": "reasoning_text",
     "text": "Hm"
    }
   ],
   "status": "completed"
  },
  {
   "id": "msg_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
   "type": "message",
   "status": "completed",
   "content": [
    {
     "type": "output_text",
     "annotations": [],
     "logprobs": [],
     "text": "Hi"
    }
   ],
   "role": "assistant"
  }
 ],
 "parallel_tool_calls": false,
 "previous_response_id": null,
 "reasoning": {
  "effort": "low",
  "summary": null
 },
 "service_tier": "default",
 "store": false,
 "temperature": 0.5,
 "text": {
  "format": {
   "type": "text"
  },
  "verbosity": "low"
 },
 "tool_choice": "auto",
 "tools": [],
 "top_p": 0.9,
 "presence_penalty": 0,
 "frequency_penalty": 0,
 "top_logprobs": 0,
 "truncation": "disabled",
 "usage": {
  "input_tokens": 7,
  "input_tokens_details": {
   "cached_tokens": 0,
   "cache_write_tokens": 0
  },
  "output_tokens": 3,
  "output_tokens_details": {
   "reasoning_tokens": 0
  },
  "total_tokens": 10
 },
 "user": "u",
 "safety_identifier": "s",
 "prompt_cache_key": "k",
 "metadata": {
  "a": "b"
 },
 "access_programs": null
};

export const functions: Answer = {
 "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
 "object": "response",
 "created_at": 1764300000,
 "status": "completed",
 "background": false,
 "completed_at": 1764300001,
 "error": null,
 "incomplete_details": null,
 "instructions": null,
 "max_output_tokens": null,
 "max_tool_calls": null,
 "model": "m",
 "output": [
  {
   "id": "fc_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "function_call",
   "status": "completed",
   "arguments": "{}",
   "call_id": "t1",
   "name": "f"
  },
  {
   "id": "fc_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
   "type": "function_call",
   "status": "completed",
   "arguments": "{\"a\":1}",
   "call_id": "call_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
   "name": "g"
  }
 ],
 "parallel_tool_calls": true,
 "previous_response_id": null,
 "reasoning": {
  "effort": null,
  "summary": null
 },
 "service_tier": "default",
 "store": false,
 "temperature": 1,
 "text": {
  "format": {
   "type": "text"
  }
 },
 "tool_choice": {
  "type": "function",
  "name": "f"
 },
 "tools": [
  {
   "type": "function",
   "name": "f",
   "parameters": {
    "type": "object"
   },
   "description": null,
   "strict": null
  },
  {
   "type": "function",
   "name": "g",
   "description": "d",
   "parameters": null,
   "strict": true
  }
 ],
 "top_p": 1,
 "presence_penalty": 0,
 "frequency_penalty": 0,
 "top_logprobs": 0,
 "truncation": "disabled",
 "usage": {
  "input_tokens": 7,
  "input_tokens_details": {
   "cached_tokens": 0,
   "cache_write_tokens": 0
  },
  "output_tokens": 3,
  "output_tokens_details": {
   "reasoning_tokens": 0
  },
  "total_tokens": 10
 },
 "user": null,
 "safety_identifier": null,
 "prompt_cache_key": null,
 "metadata": {},
 "access_programs": null
};

export const schema: Answer = {
 "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
 "object": "response",
 "created_at": 1764300000,
 "status": "completed",
 "background": false,
 "completed_at": 1764300001,
 "error": null,
 "incomplete_details": null,
 "instructions": null,
 "max_output_tokens": null,
 "max_tool_calls": null,
 "model": "m",
 "output": [
  {
   "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "message",
   "status": "completed",
   "content": [
    {
     "type": "output_text",
     "annotations": [],
     "logprobs": [],
     "text": "{}"
    }
   ],
   "role": "assistant"
  }
 ],
 "parallel_tool_calls": true,
 "previous_response_id": null,
 "reasoning": {
  "effort": null,
  "summary": null
 },
 "service_tier": "default",
 "store": false,
 "temperature": 1,
 "text": {
  "format": {
   "type": "json_schema",
   "name": "n",
   "schema": {
    "type": "object"
   },
   "strict": true
  }
 },
 "tool_choice": "auto",
 "tools": [],
 "top_p": 1,
 "presence_penalty": 0,
 "frequency_penalty": 0,
 "top_logprobs": 0,
 "truncation": "disabled",
 "usage": {
  "input_tokens": 7,
  "input_tokens_details": {
   "cached_tokens": 0,
   "cache_write_tokens": 0
  },
  "output_tokens": 3,
  "output_tokens_details": {
   "reasoning_tokens": 0
  },
  "total_tokens": 10
 },
 "user": null,
 "safety_identifier": null,
 "prompt_cache_key": null,
 "metadata": {},
 "access_programs": null
};

export const object: Answer = {
 "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
 "object": "response",
 "created_at": 1764300000,
 "status": "completed",
 "background": false,
 "completed_at": 1764300001,
 "error": null,
 "incomplete_details": null,
 "instructions": null,
 "max_output_tokens": null,
 "max_tool_calls": null,
 "model": "m",
 "output": [
  {
   "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "message",
   "status": "completed",
   "content": [
    {
     "type": "output_text",
     "annotations": [],
     "logprobs": [],
     "text": "{}"
    }
   ],
   "role": "assistant"
  }
 ],
 "parallel_tool_calls": true,
 "previous_response_id": null,
 "reasoning": {
  "effort": null,
  "summary": null
 },
 "service_tier": "default",
 "store": false,
 "temperature": 1,
 "text": {
  "format": {
   "type": "json_object"
  }
 },
 "tool_choice": "auto",
 "tools": [],
 "top_p": 1,
 "presence_penalty": 0,
 "frequency_penalty": 0,
 "top_logprobs": 0,
 "truncation": "disabled",
 "usage": {
  "input_tokens": 7,
  "input_tokens_details": {
   "cached_tokens": 0,
   "cache_write_tokens": 0
  },
  "output_tokens": 3,
  "output_tokens_details": {
   "reasoning_tokens": 0
  },
  "total_tokens": 10
 },
 "user": null,
 "safety_identifier": null,
 "prompt_cache_key": null,
 "metadata": {},
 "access_programs": null
};

export const refusal: Answer = {
 "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
 "object": "response",
 "created_at": 1764300000,
 "status": "completed",
 "background": false,
 "completed_at": 1764300001,
 "error": null,
 "incomplete_details": null,
 "instructions": null,
 "max_output_tokens": null,
 "max_tool_calls": null,
 "model": "m",
 "output": [
  {
   "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "message",
   "status": "completed",
   "content": [
    {
     "type": "refusal",
     "refusal": "No"
    }
   ],
   "role": "assistant"
  }
 ],
 "parallel_tool_calls": true,
 "previous_response_id": null,
 "reasoning": {
  "effort": null,
  "summary": null
 },
 "service_tier": "default",
 "store": false,
 "temperature": 1,
 "text": {
  "format": {
   "type": "text"
  }
 },
 "tool_choice": "auto",
 "tools": [],
 "top_p": 1,
 "presence_penalty": 0,
 "frequency_penalty": 0,
 "top_logprobs": 0,
 "truncation": "disabled",
 "usage": {
  "input_tokens": 7,
  "input_tokens_details": {
   "cached_tokens": 0,
   "cache_write_tokens": 0
  },
  "output_tokens": 3,
  "output_tokens_details": {
   "reasoning_tokens": 0
  },
  "total_tokens": 10
 },
 "user": null,
 "safety_identifier": null,
 "prompt_cache_key": null,
 "metadata": {},
 "access_programs": null
};

export const incomplete: Answer = {
 "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
 "object": "response",
 "created_at": 1764300000,
 "status": "incomplete",
 "background": false,
 "completed_at": null,
 "error": null,
 "incomplete_details": {
  "reason": "max_output_tokens"
 },
 "instructions": null,
 "max_output_tokens": null,
 "max_tool_calls": null,
 "model": "m",
 "output": [
  {
   "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "message",
   "status": "incomplete",
   "content": [
    {
     "type": "output_text",
     "annotations": [],
     "logprobs": [],
     "text": "Hi"
    }
   ],
   "role": "assistant"
  }
 ],
 "parallel_tool_calls": true,
 "previous_response_id": null,
 "reasoning": {
  "effort": null,
  "summary": null
 },
 "service_tier": "default",
 "store": false,
 "temperature": 1,
 "text": {
  "format": {
   "type": "text"
  }
 },
 "tool_choice": "auto",
 "tools": [],
 "top_p": 1,
 "presence_penalty": 0,
 "frequency_penalty": 0,
 "top_logprobs": 0,
 "truncation": "disabled",
 "usage": {
  "input_tokens": 7,
  "input_tokens_details": {
   "cached_tokens": 0,
   "cache_write_tokens": 0
  },
  "output_tokens": 3,
  "output_tokens_details": {
   "reasoning_tokens": 0
  },
  "total_tokens": 10
 },
 "user": null,
 "safety_identifier": null,
 "prompt_cache_key": null,
 "metadata": {},
 "access_programs": null
};

export const filtered: Answer = {
 "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
 "object": "response",
 "created_at": 1764300000,
 "status": "incomplete",
 "background": false,
 "completed_at": null,
 "error": null,
 "incomplete_details": {
  "reason": "content_filter"
 },
 "instructions": null,
 "max_output_tokens": null,
 "max_tool_calls": null,
 "model": "m",
 "output": [],
 "parallel_tool_calls": true,
 "previous_response_id": null,
 "reasoning": {
  "effort": null,
  "summary": null
 },
 "service_tier": "default",
 "store": false,
 "temperature": 1,
 "text": {
  "format": {
   "type": "text"
  }
 },
 "tool_choice": "auto",
 "tools": [],
 "top_p": 1,
 "presence_penalty": 0,
 "frequency_penalty": 0,
 "top_logprobs": 0,
 "truncation": "disabled",
 "usage": {
  "input_tokens": 7,
  "input_tokens_details": {
   "cached_tokens": 0,
   "cache_write_tokens": 0
  },
  "output_tokens": 3,
  "output_tokens_details": {
   "reasoning_tokens": 0
  },
  "total_tokens": 10
 },
 "user": null,
 "safety_identifier": null,
 "prompt_cache_key": null,
 "metadata": {},
 "access_programs": null
};

export const streamedText: Events = [
 {
  "type": "response.created",
  "sequence_number": 0,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "in_progress",
   "background": false,
   "completed_at": null,
   "error": null,
   "incomplete_details": null,
   "instructions": null,
   "max_output_tokens": null,
   "max_tool_calls": null,
   "model": "m",
   "output": [],
   "parallel_tool_calls": true,
   "previous_response_id": null,
   "reasoning": {
    "effort": null,
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 1,
   "text": {
    "format": {
     "type": "text"
    }
   },
   "tool_choice": "auto",
   "tools": [],
   "top_p": 1,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": null,
   "user": null,
   "safety_identifier": null,
   "prompt_cache_key": null,
   "metadata": {},
   "access_programs": null
  }
 },
 {
  "type": "response.in_progress",
  "sequence_number": 1,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "in_progress",
   "background": false,
   "completed_at": null,
   "error": null,
   "incomplete_details": null,
   "instructions": null,
   "max_output_tokens": null,
   "max_tool_calls": null,
   "model": "m",
   "output": [],
   "parallel_tool_calls": true,
   "previous_response_id": null,
   "reasoning": {
    "effort": null,
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 1,
   "text": {
    "format": {
     "type": "text"
    }
   },
   "tool_choice": "auto",
   "tools": [],
   "top_p": 1,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": null,
   "user": null,
   "safety_identifier": null,
   "prompt_cache_key": null,
   "metadata": {},
   "access_programs": null
  }
 },
 {
  "type": "response.output_item.added",
  "sequence_number": 2,
  "output_index": 0,
  "item": {
   "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "message",
   "status": "in_progress",
   "content": [],
   "role": "assistant"
  }
 },
 {
  "type": "response.content_part.added",
  "sequence_number": 3,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "part": {
   "type": "output_text",
   "annotations": [],
   "logprobs": [],
   "text": ""
  }
 },
 {
  "type": "response.output_text.delta",
  "sequence_number": 4,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "delta": "Hi",
  "logprobs": []
 },
 {
  "type": "response.output_text.done",
  "sequence_number": 5,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "text": "Hi",
  "logprobs": []
 },
 {
  "type": "response.content_part.done",
  "sequence_number": 6,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "part": {
   "type": "output_text",
   "annotations": [],
   "logprobs": [],
   "text": "Hi"
  }
 },
 {
  "type": "response.output_item.done",
  "sequence_number": 7,
  "output_index": 0,
  "item": {
   "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "message",
   "status": "completed",
   "content": [
    {
     "type": "output_text",
     "annotations": [],
     "logprobs": [],
     "text": "Hi"
    }
   ],
   "role": "assistant"
  }
 },
 {
  "type": "response.completed",
  "sequence_number": 8,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "completed",
   "background": false,
   "completed_at": 1764300001,
   "error": null,
   "incomplete_details": null,
   "instructions": null,
   "max_output_tokens": null,
   "max_tool_calls": null,
   "model": "m",
   "output": [
    {
     "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
     "type": "message",
     "status": "completed",
     "content": [
      {
       "type": "output_text",
       "annotations": [],
       "logprobs": [],
       "text": "Hi"
      }
     ],
     "role": "assistant"
    }
   ],
   "parallel_tool_calls": true,
   "previous_response_id": null,
   "reasoning": {
    "effort": null,
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 1,
   "text": {
    "format": {
     "type": "text"
    }
   },
   "tool_choice": "auto",
   "tools": [],
   "top_p": 1,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": {
    "input_tokens": 7,
    "input_tokens_details": {
     "cached_tokens": 0,
     "cache_write_tokens": 0
    },
    "output_tokens": 3,
    "output_tokens_details": {
     "reasoning_tokens": 1
    },
    "total_tokens": 10
   },
   "user": null,
   "safety_identifier": null,
   "prompt_cache_key": null,
   "metadata": {},
   "access_programs": null
  }
 }
];

export const streamedThoughts: Events = [
 {
  "type": "response.created",
  "sequence_number": 0,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "in_progress",
   "background": false,
   "completed_at": null,
   "error": null,
   "incomplete_details": null,
   "instructions": "i",
   "max_output_tokens": 64,
   "max_tool_calls": 2,
   "model": "m",
   "output": [],
   "parallel_tool_calls": false,
   "previous_response_id": null,
   "reasoning": {
    "effort": "low",
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 0.5,
   "text": {
    "format": {
     "type": "text"
    },
    "verbosity": "low"
   },
   "tool_choice": "auto",
   "tools": [],
   "top_p": 0.9,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": null,
   "user": "u",
   "safety_identifier": "s",
   "prompt_cache_key": "k",
   "metadata": {
    "a": "b"
   },
   "access_programs": null
  }
 },
 {
  "type": "response.in_progress",
  "sequence_number": 1,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "in_progress",
   "background": false,
   "completed_at": null,
   "error": null,
   "incomplete_details": null,
   "instructions": "i",
   "max_output_tokens": 64,
   "max_tool_calls": 2,
   "model": "m",
   "output": [],
   "parallel_tool_calls": false,
   "previous_response_id": null,
   "reasoning": {
    "effort": "low",
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 0.5,
   "text": {
    "format": {
     "type": "text"
    },
    "verbosity": "low"
   },
   "tool_choice": "auto",
   "tools": [],
   "top_p": 0.9,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": null,
   "user": "u",
   "safety_identifier": "s",
   "prompt_cache_key": "k",
   "metadata": {
    "a": "b"
   },
   "access_programs": null
  }
 },
 {
  "type": "response.output_item.added",
  "sequence_number": 2,
  "output_index": 0,
  "item": {
   "id": "rs_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "reasoning",
   "summary": [],
   "content": [],
   "status": "in_progress"
  }
 },
 {
  "type": "response.content_part.added",
  "sequence_number": 3,
  "item_id": "rs_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "part": {
   "type": "reasoning_text",
   "text": ""
  }
 },
 {
  "type": "response.reasoning_text.delta",
  "sequence_number": 4,
  "item_id": "rs_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "delta": "Hm"
 },
 {
  "type": "response.reasoning_text.done",
  "sequence_number": 5,
  "item_id": "rs_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "text": "Hm"
 },
 {
  "type": "response.content_part.done",
  "sequence_number": 6,
  "item_id": "rs_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "part": {
   "type": "reasoning_text",
   "text": "Hm"
  }
 },
 {
  "type": "response.output_item.done",
  "sequence_number": 7,
  "output_index": 0,
  "item": {
   "id": "rs_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "reasoning",
   "summary": [],
   "content": [
    {
     "type": "reasoning_text",
     "text": "Hm"
    }
   ],
   "status": "completed"
  }
 },
 {
  "type": "response.output_item.added",
  "sequence_number": 8,
  "output_index": 1,
  "item": {
   "id": "msg_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
   "type": "message",
   "status": "in_progress",
   "content": [],
   "role": "assistant"
  }
 },
 {
  "type": "response.content_part.added",
  "sequence_number": 9,
  "item_id": "msg_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
  "output_index": 1,
  "content_index": 0,
  "part": {
   "type": "output_text",
   "annotations": [],
   "logprobs": [],
   "text": ""
  }
 },
 {
  "type": "response.output_text.delta",
  "sequence_number": 10,
  "item_id": "msg_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
  "output_index": 1,
  "content_index": 0,
  "delta": "Hi",
  "logprobs": []
 },
 {
  "type": "response.output_text.done",
  "sequence_number": 11,
  "item_id": "msg_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
  "output_index": 1,
  "content_index": 0,
  "text": "Hi",
  "logprobs": []
 },
 {
  "type": "response.content_part.done",
  "sequence_number": 12,
  "item_id": "msg_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
  "output_index": 1,
  "content_index": 0,
  "part": {
   "type": "output_text",
   "annotations": [],
   "logprobs": [],
   "text": "Hi"
  }
 },
 {
  "type": "response.output_item.done",
  "sequence_number": 13,
  "output_index": 1,
  "item": {
   "id": "msg_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
   "type": "message",
   "status": "incomplete",
   "content": [
    {
     "type": "output_text",
     "annotations": [],
     "logprobs": [],
     "text": "Hi"
    }
   ],
   "role": "assistant"
  }
 },
 {
  "type": "response.incomplete",
  "sequence_number": 14,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "incomplete",
   "background": false,
   "completed_at": null,
   "error": null,
   "incomplete_details": {
    "reason": "max_output_tokens"
   },
   "instructions": "i",
   "max_output_tokens": 64,
   "max_tool_calls": 2,
   "model": "m",
   "output": [
    {
     "id": "rs_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
     "type": "reasoning",
     "summary": [],
     "content": [
      {
       "type": "reasoning_text",
       "text": "Hm"
      }
     ],
     "status": "completed"
    },
    {
     "id": "msg_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
     "type": "message",
     "status": "incomplete",
     "content": [
      {
       "type": "output_text",
       "annotations": [],
       "logprobs": [],
       "text": "Hi"
      }
     ],
     "role": "assistant"
    }
   ],
   "parallel_tool_calls": false,
   "previous_response_id": null,
   "reasoning": {
    "effort": "low",
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 0.5,
   "text": {
    "format": {
     "type": "text"
    },
    "verbosity": "low"
   },
   "tool_choice": "auto",
   "tools": [],
   "top_p": 0.9,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": {
    "input_tokens": 7,
    "input_tokens_details": {
     "cached_tokens": 0,
     "cache_write_tokens": 0
    },
    "output_tokens": 3,
    "output_tokens_details": {
     "reasoning_tokens": 1
    },
    "total_tokens": 10
   },
   "user": "u",
   "safety_identifier": "s",
   "prompt_cache_key": "k",
   "metadata": {
    "a": "b"
   },
   "access_programs": null
  }
 }
];

export const streamedFunctions: Events = [
 {
  "type": "response.created",
  "sequence_number": 0,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "in_progress",
   "background": false,
   "completed_at": null,
   "error": null,
   "incomplete_details": null,
   "instructions": null,
   "max_output_tokens": null,
   "max_tool_calls": null,
   "model": "m",
   "output": [],
   "parallel_tool_calls": true,
   "previous_response_id": null,
   "reasoning": {
    "effort": null,
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 1,
   "text": {
    "format": {
     "type": "text"
    }
   },
   "tool_choice": {
    "type": "function",
    "name": "f"
   },
   "tools": [
    {
     "type": "function",
     "name": "f",
     "parameters": {
      "type": "object"
     },
     "description": null,
     "strict": null
    },
    {
     "type": "function",
     "name": "g",
     "description": "d",
     "parameters": null,
     "strict": true
    }
   ],
   "top_p": 1,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": null,
   "user": null,
   "safety_identifier": null,
   "prompt_cache_key": null,
   "metadata": {},
   "access_programs": null
  }
 },
 {
  "type": "response.in_progress",
  "sequence_number": 1,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "in_progress",
   "background": false,
   "completed_at": null,
   "error": null,
   "incomplete_details": null,
   "instructions": null,
   "max_output_tokens": null,
   "max_tool_calls": null,
   "model": "m",
   "output": [],
   "parallel_tool_calls": true,
   "previous_response_id": null,
   "reasoning": {
    "effort": null,
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 1,
   "text": {
    "format": {
     "type": "text"
    }
   },
   "tool_choice": {
    "type": "function",
    "name": "f"
   },
   "tools": [
    {
     "type": "function",
     "name": "f",
     "parameters": {
      "type": "object"
     },
     "description": null,
     "strict": null
    },
    {
     "type": "function",
     "name": "g",
     "description": "d",
     "parameters": null,
     "strict": true
    }
   ],
   "top_p": 1,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": null,
   "user": null,
   "safety_identifier": null,
   "prompt_cache_key": null,
   "metadata": {},
   "access_programs": null
  }
 },
 {
  "type": "response.output_item.added",
  "sequence_number": 2,
  "output_index": 0,
  "item": {
   "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "message",
   "status": "in_progress",
   "content": [],
   "role": "assistant"
  }
 },
 {
  "type": "response.content_part.added",
  "sequence_number": 3,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "part": {
   "type": "output_text",
   "annotations": [],
   "logprobs": [],
   "text": ""
  }
 },
 {
  "type": "response.output_text.delta",
  "sequence_number": 4,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "delta": "Hi",
  "logprobs": []
 },
 {
  "type": "response.output_text.done",
  "sequence_number": 5,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "text": "Hi",
  "logprobs": []
 },
 {
  "type": "response.content_part.done",
  "sequence_number": 6,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "part": {
   "type": "output_text",
   "annotations": [],
   "logprobs": [],
   "text": "Hi"
  }
 },
 {
  "type": "response.output_item.done",
  "sequence_number": 7,
  "output_index": 0,
  "item": {
   "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "message",
   "status": "completed",
   "content": [
    {
     "type": "output_text",
     "annotations": [],
     "logprobs": [],
     "text": "Hi"
    }
   ],
   "role": "assistant"
  }
 },
 {
  "type": "response.output_item.added",
  "sequence_number": 8,
  "output_index": 1,
  "item": {
   "id": "fc_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
   "type": "function_call",
   "status": "in_progress",
   "arguments": "",
   "call_id": "call_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
   "name": "f"
  }
 },
 {
  "type": "response.function_call_arguments.delta",
  "sequence_number": 9,
  "item_id": "fc_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
  "output_index": 1,
  "delta": "{"
 },
 {
  "type": "response.function_call_arguments.delta",
  "sequence_number": 10,
  "item_id": "fc_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
  "output_index": 1,
  "delta": "}"
 },
 {
  "type": "response.function_call_arguments.done",
  "sequence_number": 11,
  "item_id": "fc_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
  "name": "f",
  "output_index": 1,
  "arguments": "{}"
 },
 {
  "type": "response.output_item.done",
  "sequence_number": 12,
  "output_index": 1,
  "item": {
   "id": "fc_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
   "type": "function_call",
   "status": "completed",
   "arguments": "{}",
   "call_id": "call_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
   "name": "f"
  }
 },
 {
  "type": "response.completed",
  "sequence_number": 13,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "completed",
   "background": false,
   "completed_at": 1764300001,
   "error": null,
   "incomplete_details": null,
   "instructions": null,
   "max_output_tokens": null,
   "max_tool_calls": null,
   "model": "m",
   "output": [
    {
     "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
     "type": "message",
     "status": "completed",
     "content": [
      {
       "type": "output_text",
       "annotations": [],
       "logprobs": [],
       "text": "Hi"
      }
     ],
     "role": "assistant"
    },
    {
     "id": "fc_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
     "type": "function_call",
     "status": "completed",
     "arguments": "{}",
     "call_id": "call_c6dcd843b15c0b7a1f2eeddd3a9013e4c0243892b9d89e7a",
     "name": "f"
    }
   ],
   "parallel_tool_calls": true,
   "previous_response_id": null,
   "reasoning": {
    "effort": null,
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 1,
   "text": {
    "format": {
     "type": "text"
    }
   },
   "tool_choice": {
    "type": "function",
    "name": "f"
   },
   "tools": [
    {
     "type": "function",
     "name": "f",
     "parameters": {
      "type": "object"
     },
     "description": null,
     "strict": null
    },
    {
     "type": "function",
     "name": "g",
     "description": "d",
     "parameters": null,
     "strict": true
    }
   ],
   "top_p": 1,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": {
    "input_tokens": 7,
    "input_tokens_details": {
     "cached_tokens": 0,
     "cache_write_tokens": 0
    },
    "output_tokens": 3,
    "output_tokens_details": {
     "reasoning_tokens": 1
    },
    "total_tokens": 10
   },
   "user": null,
   "safety_identifier": null,
   "prompt_cache_key": null,
   "metadata": {},
   "access_programs": null
  }
 }
];

export const streamedRefusal: Events = [
 {
  "type": "response.created",
  "sequence_number": 0,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "in_progress",
   "background": false,
   "completed_at": null,
   "error": null,
   "incomplete_details": null,
   "instructions": null,
   "max_output_tokens": null,
   "max_tool_calls": null,
   "model": "m",
   "output": [],
   "parallel_tool_calls": true,
   "previous_response_id": null,
   "reasoning": {
    "effort": null,
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 1,
   "text": {
    "format": {
     "type": "json_schema",
     "name": "n",
     "schema": {
      "type": "object"
     },
     "strict": true
    }
   },
   "tool_choice": "auto",
   "tools": [],
   "top_p": 1,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": null,
   "user": null,
   "safety_identifier": null,
   "prompt_cache_key": null,
   "metadata": {},
   "access_programs": null
  }
 },
 {
  "type": "response.in_progress",
  "sequence_number": 1,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "in_progress",
   "background": false,
   "completed_at": null,
   "error": null,
   "incomplete_details": null,
   "instructions": null,
   "max_output_tokens": null,
   "max_tool_calls": null,
   "model": "m",
   "output": [],
   "parallel_tool_calls": true,
   "previous_response_id": null,
   "reasoning": {
    "effort": null,
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 1,
   "text": {
    "format": {
     "type": "json_schema",
     "name": "n",
     "schema": {
      "type": "object"
     },
     "strict": true
    }
   },
   "tool_choice": "auto",
   "tools": [],
   "top_p": 1,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": null,
   "user": null,
   "safety_identifier": null,
   "prompt_cache_key": null,
   "metadata": {},
   "access_programs": null
  }
 },
 {
  "type": "response.output_item.added",
  "sequence_number": 2,
  "output_index": 0,
  "item": {
   "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "message",
   "status": "in_progress",
   "content": [],
   "role": "assistant"
  }
 },
 {
  "type": "response.content_part.added",
  "sequence_number": 3,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "part": {
   "type": "refusal",
   "refusal": ""
  }
 },
 {
  "type": "response.refusal.delta",
  "sequence_number": 4,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "delta": "No"
 },
 {
  "type": "response.refusal.done",
  "sequence_number": 5,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "refusal": "No"
 },
 {
  "type": "response.content_part.done",
  "sequence_number": 6,
  "item_id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
  "output_index": 0,
  "content_index": 0,
  "part": {
   "type": "refusal",
   "refusal": "No"
  }
 },
 {
  "type": "response.output_item.done",
  "sequence_number": 7,
  "output_index": 0,
  "item": {
   "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
   "type": "message",
   "status": "incomplete",
   "content": [
    {
     "type": "refusal",
     "refusal": "No"
    }
   ],
   "role": "assistant"
  }
 },
 {
  "type": "response.incomplete",
  "sequence_number": 8,
  "response": {
   "id": "resp_d0f631ca1ddba8db3bcfcb9e057cdc98d0379f1bee00e75a",
   "object": "response",
   "created_at": 1764300000,
   "status": "incomplete",
   "background": false,
   "completed_at": null,
   "error": null,
   "incomplete_details": {
    "reason": "content_filter"
   },
   "instructions": null,
   "max_output_tokens": null,
   "max_tool_calls": null,
   "model": "m",
   "output": [
    {
     "id": "msg_5e78a1b07a697b44fe8cf99d2995562dc73758025e105b6c",
     "type": "message",
     "status": "incomplete",
     "content": [
      {
       "type": "refusal",
       "refusal": "No"
      }
     ],
     "role": "assistant"
    }
   ],
   "parallel_tool_calls": true,
   "previous_response_id": null,
   "reasoning": {
    "effort": null,
    "summary": null
   },
   "service_tier": "default",
   "store": false,
   "temperature": 1,
   "text": {
    "format": {
     "type": "json_schema",
     "name": "n",
     "schema": {
      "type": "object"
     },
     "strict": true
    }
   },
   "tool_choice": "auto",
   "tools": [],
   "top_p": 1,
   "presence_penalty": 0,
   "frequency_penalty": 0,
   "top_logprobs": 0,
   "truncation": "disabled",
   "usage": {
    "input_tokens": 7,
    "input_tokens_details": {
     "cached_tokens": 0,
     "cache_write_tokens": 0
    },
    "output_tokens": 3,
    "output_tokens_details": {
     "reasoning_tokens": 1
    },
    "total_tokens": 10
   },
   "user": null,
   "safety_identifier": null,
   "prompt_cache_key": null,
   "metadata": {},
   "access_programs": null
  }
 }
];
